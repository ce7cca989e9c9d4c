package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"cooperator.dev/e2e/bench/twin/api"
)

// manager of the fields that the twin writes beside the operator's.
const manager = "twin"

type collectives struct{ writer }

// Reconcile says of one Collective whether its storage is known and its gateway answers.
func (r *collectives) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var home api.Collective
	if err := r.client.Get(ctx, request.NamespacedName, &home); err != nil || home.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	storage := yes("StorageReady", "Answers", "the bucket can be written and read")
	if home.Status.Storage == nil {
		storage = no("StorageReady", "NoDefaultStore", "the twin makes no buckets")
	}
	gateway := no("GatewayReady", "Starting", "no gateway pod is available yet")
	var pods appsv1.Deployment
	if found, err := r.get(ctx, home.Namespace, home.Name+"-gateway", &pods); err != nil {
		return ctrl.Result{}, err
	} else if found && pods.Status.AvailableReplicas > 0 {
		gateway = yes("GatewayReady", "Available", fmt.Sprintf("%d gateway pods are available", pods.Status.AvailableReplicas))
	}
	all := ready(yes("Ready", "Ready", "storage and gateway answer"), storage, gateway)
	err := r.report(ctx, &home, "Collective", manager, home.Status.Conditions, all, observing(&home))
	return ctrl.Result{RequeueAfter: resync}, err
}

type baseModelReconciler struct{ writer }

// Reconcile says of one BaseModel whether its licence is allowed and it was imported.
func (r *baseModelReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var model api.BaseModel
	if err := r.client.Get(ctx, request.NamespacedName, &model); err != nil || model.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var home api.Collective
	found, err := r.get(ctx, model.Namespace, model.Spec.CollectiveRef.Name, &home)
	if err != nil {
		return ctrl.Result{}, err
	}
	allowed := yes("LicenseAllowed", "LicenseAllowed", "the Collective's policy allows it")
	switch {
	case !found:
		allowed = missing("Collective", model.Spec.CollectiveRef.Name).of("LicenseAllowed")
	case !slices.Contains(home.Spec.Policy.BaseModelLicenses, model.Spec.License):
		allowed = no("LicenseAllowed", "LicenseNotAllowed", model.Spec.License+" is not in the policy")
	}
	imported := yes("Imported", "Imported", "it lies in content-addressed storage")
	if model.Status.Digest == "" {
		imported = no("Imported", "StorageNotReady", "the twin imports nothing")
	}
	all := ready(yes("Ready", "Imported", "it can be trained on and served"), allowed, imported)
	err = r.report(ctx, &model, "BaseModel", manager, model.Status.Conditions, all, observing(&model))
	return ctrl.Result{RequeueAfter: resync}, err
}

type contributionReconciler struct{ writer }

// Reconcile says of one Contribution whether it is accepted, and where it is held.
func (r *contributionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var work api.Contribution
	if err := r.client.Get(ctx, request.NamespacedName, &work); err != nil || work.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var home api.Collective
	found, err := r.get(ctx, work.Namespace, work.Spec.CollectiveRef.Name, &home)
	if err != nil {
		return ctrl.Result{}, err
	}
	var all api.DatasetList
	if err := r.client.List(ctx, &all, client.InNamespace(work.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	accepted := missing("Collective", work.Spec.CollectiveRef.Name).of("Accepted")
	if found {
		accepted = consent(&work, &home, all.Items)
	}
	err = r.report(ctx, &work, "Contribution", manager, work.Status.Conditions, []finding{accepted},
		observing(&work))
	return ctrl.Result{RequeueAfter: resync}, err
}

func consent(work *api.Contribution, home *api.Collective, all []api.Dataset) finding {
	granted := slices.ContainsFunc(work.Spec.Grants, func(grant api.Grant) bool {
		return grant.Use == "GenerativeTraining" && grant.Allowed
	})
	switch {
	case work.Spec.Revoked:
		return no("Accepted", "Revoked", "spec.revoked is true")
	case !slices.Contains(home.Spec.Policy.ContributionLicenses, work.Spec.License):
		return no("Accepted", "LicenseNotAllowed", work.Spec.License+" is not in the policy")
	case !granted:
		return no("Accepted", "GrantDenied", "GenerativeTraining is not allowed")
	}
	var holders []string
	for _, dataset := range all {
		for _, row := range dataset.Status.Contributions {
			if row.Name == work.Name && row.State == "Accepted" && row.Records != nil {
				holders = append(holders, dataset.Name)
			}
		}
	}
	if len(holders) == 0 {
		return yes("Accepted", "ConsentGiven", "licence and grants pass the policy; no Dataset holds it yet")
	}
	slices.Sort(holders)
	return yes("Accepted", "ConsentGiven", "licence and grants pass the policy; held by "+strings.Join(holders, ", "))
}

type datasetReconciler struct{ writer }

// Reconcile says of one Dataset which Contributions it takes, and whether a version can be built of them.
func (r *datasetReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var dataset api.Dataset
	if err := r.client.Get(ctx, request.NamespacedName, &dataset); err != nil || dataset.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&dataset.Spec.Selector)
	if err != nil {
		return ctrl.Result{}, err
	}
	var works api.ContributionList
	list := []client.ListOption{client.InNamespace(dataset.Namespace), client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy}
	if err := r.client.List(ctx, &works, list...); err != nil {
		return ctrl.Result{}, err
	}
	if len(works.Items) > 0 {
		return ctrl.Result{}, fmt.Errorf("Dataset %s selects works: the twin starts no builds", dataset.Name)
	}
	nothing := hold{"NoContributions", "spec.selector matches no Contribution of this Collective: label some, or widen it"}
	first := nothing.of("Ready")
	if dataset.Status.Digest != "" {
		first = yes("Ready", nothing.reason, "the version before stays; the next build: "+nothing.message)
	}
	all := []finding{
		first, nothing.of("SourcesRead"), no("ConsentGiven", "NoContributions", "no selected Contribution is accepted"),
	}
	// A hold keeps the build due: no generation is observed.
	err = r.report(ctx, &dataset, "Dataset", manager, dataset.Status.Conditions, all, nil)
	return ctrl.Result{RequeueAfter: resync}, err
}

type deploymentReconciler struct{ writer }

// Reconcile says of one Deployment whether its pods and its route are there.
func (r *deploymentReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var one api.Deployment
	if err := r.client.Get(ctx, request.NamespacedName, &one); err != nil || one.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	server, err := r.server(ctx, &one)
	if err != nil {
		return ctrl.Result{}, err
	}
	route := yes("RouteReady", "Routed", "the Collective's gateway routes to it")
	if !server.status {
		route = no("RouteReady", server.reason, server.message)
	}
	all := ready(yes("Ready", "Serving", "it answers through the gateway"), server, route)
	err = r.report(ctx, &one, "Deployment", manager, one.Status.Conditions, all, observing(&one))
	return ctrl.Result{RequeueAfter: resync}, err
}

func (r *deploymentReconciler) server(ctx context.Context, one *api.Deployment) (finding, error) {
	var tune api.FineTune
	name := one.Spec.FineTuneRef.Name
	found, err := r.get(ctx, one.Namespace, name, &tune)
	switch {
	case err != nil || !found:
		return missing("FineTune", name).of("ServerReady"), err
	case !meta.IsStatusConditionTrue(tune.Status.Conditions, "Ready") || tune.Status.Adapter == nil:
		return no("ServerReady", "FineTuneNotReady", fmt.Sprintf("FineTune `%s` is not Ready", name)), nil
	}
	var pods appsv1.Deployment
	found, err = r.get(ctx, one.Namespace, one.Name+"-server", &pods)
	if err != nil {
		return finding{}, err
	}
	if found && pods.Status.AvailableReplicas >= max(one.Spec.Replicas, 1) {
		return yes("ServerReady", "Available", "every server pod has verified its weights and answers"), nil
	}
	return no("ServerReady", "Starting", "server pods are fetching and verifying their weights"), nil
}

type apiKeys struct{ writer }

// Reconcile says of one ApiKey whether its key was made and still opens anything.
func (r *apiKeys) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var key api.ApiKey
	if err := r.client.Get(ctx, request.NamespacedName, &key); err != nil || key.DeletionTimestamp != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var secret corev1.Secret
	shown, err := r.get(ctx, key.Namespace, key.Spec.SecretRef.Name, &secret)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !shown && key.Status.Sha256 == "" {
		return ctrl.Result{}, fmt.Errorf("ApiKey %s has no key: the twin mints none", key.Name)
	}
	message := "the key works; its Secret has been deleted and is not made again"
	if shown {
		message = fmt.Sprintf("the key is in Secret `%s`", secret.Name)
	}
	revoked := no("Revoked", "NotRevoked", "it is not revoked")
	all := []finding{yes("Ready", "Minted", message), revoked, no("Expired", "NeverExpires", "spec.expiresAt is not set")}
	if key.Spec.Revoked {
		all[0], all[1] = no("Ready", "Revoked", "spec.revoked is true"), yes("Revoked", "Revoked", "spec.revoked is true")
	}
	err = r.report(ctx, &key, "ApiKey", manager, key.Status.Conditions, all, observing(&key))
	return ctrl.Result{RequeueAfter: resync}, err
}
