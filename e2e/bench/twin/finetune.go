package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"cooperator.dev/e2e/bench/twin/api"
)

// resync is how often a settled object is looked at again, as the operator does.
const resync = 10 * time.Minute

type fineTuneReconciler struct{ writer }

// Reconcile says of one FineTune where it stands.
func (r *fineTuneReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var tune api.FineTune
	if err := r.client.Get(ctx, request.NamespacedName, &tune); err != nil || tune.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	held, err := r.gates(ctx, &tune)
	if err != nil {
		return ctrl.Result{}, err
	}
	if held == nil && tune.Status.Adapter == nil {
		return ctrl.Result{}, fmt.Errorf("FineTune %s passes every gate: the twin starts no runs", tune.Name)
	}
	err = r.report(ctx, &tune, "FineTune", "cooperator-finetune", tune.Status.Conditions,
		fineTuneFindings(&tune, held), fineTuneFields(&tune))
	return ctrl.Result{RequeueAfter: resync}, err
}

// fineTuneFields are the fields of status that stay as they are; the manager owns them. While something waits, its spec
// has not had its say.
func fineTuneFields(tune *api.FineTune) map[string]any {
	status := tune.Status
	if status.Adapter == nil {
		return nil
	}
	fields := observing(tune)
	fields["attempts"], fields["collective"] = status.Attempts, status.Collective
	fields["baseModelDigest"], fields["datasetDigest"] = status.BaseModelDigest, status.DatasetDigest
	fields["cost"], fields["adapter"] = status.Cost, status.Adapter
	fields["evaluation"], fields["attribution"] = status.Evaluation, status.Attribution
	return fields
}

// gates are an ordered chain; the first that does not pass is the reason it waits.
func (r *fineTuneReconciler) gates(ctx context.Context, tune *api.FineTune) (*hold, error) {
	if tune.Status.Adapter != nil {
		return nil, nil
	}
	var dataset api.Dataset
	if found, err := r.get(ctx, tune.Namespace, tune.Spec.DatasetRef.Name, &dataset); err != nil || !found {
		return suspended(tune, missing("Dataset", tune.Spec.DatasetRef.Name)), err
	}
	home := dataset.Spec.CollectiveRef.Name
	var collective api.Collective
	if found, err := r.get(ctx, tune.Namespace, home, &collective); err != nil || !found {
		return suspended(tune, missing("Collective", home)), err
	}
	if !meta.IsStatusConditionTrue(collective.Status.Conditions, "StorageReady") {
		return suspended(tune, &hold{"StorageNotReady", fmt.Sprintf("the storage of Collective `%s` is not ready: see its conditions", home)}), nil
	}
	var model api.BaseModel
	name := tune.Spec.BaseModelRef.Name
	if found, err := r.get(ctx, tune.Namespace, name, &model); err != nil || !found {
		return suspended(tune, missing("BaseModel", name)), err
	}
	if model.Status.Digest == "" || !meta.IsStatusConditionTrue(model.Status.Conditions, "Ready") {
		return suspended(tune, &hold{"BaseModelNotReady", fmt.Sprintf("BaseModel `%s`: not ready, see its conditions", name)}), nil
	}
	if dataset.Status.Digest == "" {
		return suspended(tune, &hold{"DatasetNotReady", fmt.Sprintf("Dataset `%s` has no version yet: see its conditions", dataset.Name)}), nil
	}
	return nil, nil
}

// suspended comes before any other reason.
func suspended(tune *api.FineTune, other *hold) *hold {
	if tune.Spec.Suspend {
		return &hold{"Suspended", "spec.suspend is true: set it to false to go on"}
	}
	return other
}

func missing(kind, name string) *hold {
	return &hold{kind + "NotFound", fmt.Sprintf("%s `%s` does not exist in this namespace: create it", kind, name)}
}

func (w writer) get(ctx context.Context, namespace, name string, into client.Object) (bool, error) {
	err := w.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
	if errors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func fineTuneFindings(tune *api.FineTune, held *hold) []finding {
	if held != nil {
		suspension := no("Suspended", "NotSuspended", "nothing holds it back")
		if tune.Spec.Suspend {
			suspension = yes("Suspended", "Suspended", "spec.suspend is true")
		}
		return []finding{
			held.of("Ready"), held.of("Complete"), no("Failed", "NotFailed", "it is not given up"), suspension,
		}
	}
	var failing []string
	if tune.Status.Evaluation != nil {
		for _, gate := range tune.Status.Evaluation.Gates {
			if !gate.Passed {
				failing = append(failing, fmt.Sprintf("%s is %s", gate.Metric, gate.Value))
			}
		}
	}
	first := yes("Ready", "Trained", fmt.Sprintf("adapter %s may be served", tune.Status.Adapter.Digest))
	if len(failing) > 0 {
		first = no("Ready", "GateFailed", "the adapter is kept but may not be served: "+strings.Join(failing, ", "))
	}
	return []finding{
		first,
		yes("Complete", "Trained", "training and evaluation are done"),
		no("Failed", "NotFailed", "it is not given up"),
		no("Suspended", "NotSuspended", "nothing holds it back"),
	}
}
