package main

import (
	"context"
	"encoding/json"
	"reflect"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"cooperator.dev/e2e/bench/twin/api"
)

// writer brings what a reconcile found to the API server; what is already so is not written again.
type writer struct {
	client   client.Client
	recorder events.EventRecorder
}

// finding is a condition to set.
type finding struct {
	kind, reason, message string
	status                bool
}

// hold is why something waits.
type hold struct{ reason, message string }

func yes(kind, reason, message string) finding { return finding{kind, reason, message, true} }
func no(kind, reason, message string) finding  { return finding{kind, reason, message, false} }
func (h hold) of(kind string) finding          { return no(kind, h.reason, h.message) }

// abnormal conditions are False when all is well.
var abnormal = map[string]bool{"Failed": true, "Suspended": true, "Revoked": true, "Expired": true}

// report applies the conditions and the other fields of status, and tells of each condition that changed.
func (w writer) report(
	ctx context.Context, object client.Object, kind, manager string,
	before []metav1.Condition, findings []finding, fields map[string]any,
) error {
	wanted := merge(before, findings, object.GetGeneration())
	if reflect.DeepEqual(before, wanted) {
		return nil
	}
	status := map[string]any{"conditions": wanted}
	for name, value := range fields {
		status[name] = value
	}
	patch, err := json.Marshal(map[string]any{
		"apiVersion": api.GroupVersion.String(),
		"kind":       kind,
		"metadata":   map[string]any{"name": object.GetName(), "resourceVersion": object.GetResourceVersion()},
		"status":     status,
	})
	if err != nil {
		return err
	}
	target, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return nil
	}
	apply := client.RawPatch(types.ApplyPatchType, patch)
	if err := w.client.Status().Patch(ctx, target, apply, client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, changed := range news(before, wanted) {
		w.recorder.Eventf(object, nil, "Normal", changed.Reason, "Reconcile", "%s=%s: %s",
			changed.Type, changed.Status, changed.Message)
	}
	return nil
}

// observing are the fields of an object whose spec has had its say.
func observing(object client.Object) map[string]any {
	return map[string]any{"observedGeneration": object.GetGeneration()}
}

// merge gives conditions their times: a transition is a change of status.
func merge(before []metav1.Condition, findings []finding, generation int64) []metav1.Condition {
	now := metav1.Now().Rfc3339Copy()
	var wanted []metav1.Condition
	for _, found := range findings {
		status := metav1.ConditionFalse
		if found.status {
			status = metav1.ConditionTrue
		}
		since := now
		if old := meta.FindStatusCondition(before, found.kind); old != nil && old.Status == status {
			since = old.LastTransitionTime
		}
		wanted = append(wanted, metav1.Condition{
			Type: found.kind, Status: status, Reason: found.reason, Message: found.message,
			ObservedGeneration: generation, LastTransitionTime: since,
		})
	}
	return wanted
}

// news are conditions whose status or reason is new, each reason told once; that all is well from the start is none.
func news(before, after []metav1.Condition) []metav1.Condition {
	var told []metav1.Condition
	for _, condition := range after {
		old := meta.FindStatusCondition(before, condition.Type)
		same := old != nil && old.Status == condition.Status && old.Reason == condition.Reason
		well := old == nil && abnormal[condition.Type] && condition.Status == metav1.ConditionFalse
		known := false
		for _, other := range told {
			known = known || other.Reason == condition.Reason && other.Message == condition.Message
		}
		if !same && !well && !known {
			told = append(told, condition)
		}
	}
	return told
}

// ready is the finding that sums up the others: the first that does not hold is the reason.
func ready(all finding, others ...finding) []finding {
	summed := all
	for _, other := range others {
		if !other.status {
			summed = no("Ready", other.reason, other.message)
			break
		}
	}
	return append([]finding{summed}, others...)
}
