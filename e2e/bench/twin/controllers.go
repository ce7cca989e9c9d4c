package main

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"cooperator.dev/e2e/bench/twin/api"
)

// setUp is the one list: what each controller watches, and which of its objects a change concerns.
func setUp(manager ctrl.Manager) error {
	w := writer{client: manager.GetClient(), recorder: manager.GetEventRecorder("twin")}
	find := manager.GetClient()
	steps := []func() error{
		func() error {
			return build(manager, "collective", &api.Collective{}).Owns(&appsv1.Deployment{}).
				Complete(&collectives{w})
		},
		func() error {
			return build(manager, "apikey", &api.ApiKey{}).Complete(&apiKeys{w})
		},
		func() error {
			return build(manager, "basemodel", &api.BaseModel{}).
				Owns(&batchv1.Job{}).
				Watches(&corev1.Pod{}, ofRun("basemodel")).
				Watches(&api.Collective{}, concerning(find, func(model *api.BaseModel, changed client.Object) bool {
					return model.Spec.CollectiveRef.Name == changed.GetName()
				}, &api.BaseModelList{}, baseModels)).
				Complete(&baseModelReconciler{w})
		},
		func() error {
			return build(manager, "contribution", &api.Contribution{}).
				Watches(&api.Collective{}, concerning(find, func(work *api.Contribution, changed client.Object) bool {
					return work.Spec.CollectiveRef.Name == changed.GetName()
				}, &api.ContributionList{}, contributions)).
				Watches(&api.Dataset{}, handler.EnqueueRequestsFromMapFunc(held)).
				Complete(&contributionReconciler{w})
		},
		func() error {
			inCollective := func(dataset *api.Dataset, changed client.Object) bool {
				work, ok := changed.(*api.Contribution)
				return ok && dataset.Spec.CollectiveRef.Name == work.Spec.CollectiveRef.Name
			}
			return build(manager, "dataset", &api.Dataset{}).
				Owns(&batchv1.Job{}).
				Watches(&corev1.Pod{}, ofRun("dataset")).
				Watches(&api.Collective{}, concerning(find, func(dataset *api.Dataset, changed client.Object) bool {
					return dataset.Spec.CollectiveRef.Name == changed.GetName()
				}, &api.DatasetList{}, datasets)).
				Watches(&api.BaseModel{}, concerning(find, func(dataset *api.Dataset, changed client.Object) bool {
					return dataset.Spec.BaseModelRef.Name == changed.GetName()
				}, &api.DatasetList{}, datasets)).
				Watches(&api.Contribution{}, concerning(find, inCollective, &api.DatasetList{}, datasets)).
				Complete(&datasetReconciler{w})
		},
		func() error {
			return build(manager, "deployment", &api.Deployment{}).
				Owns(&appsv1.Deployment{}).
				Watches(&api.FineTune{}, concerning(find, func(one *api.Deployment, changed client.Object) bool {
					return one.Spec.FineTuneRef.Name == changed.GetName()
				}, &api.DeploymentList{}, deployments)).
				Watches(&api.Collective{}, concerning(find, func(*api.Deployment, client.Object) bool { return true },
					&api.DeploymentList{}, deployments)).
				Watches(&api.Settlement{}, concerning(find, func(*api.Deployment, client.Object) bool { return true },
					&api.DeploymentList{}, deployments)).
				Complete(&deploymentReconciler{w})
		},
		func() error { return fineTunes(manager, w, find) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func fineTunes(manager ctrl.Manager, w writer, find client.Reader) error {
	waits := func(tune *api.FineTune, _ client.Object) bool { return tune.Status.Adapter == nil }
	return build(manager, "finetune", &api.FineTune{}).
		Owns(&batchv1.Job{}).
		Watches(&corev1.Pod{}, ofRun("finetune")).
		Watches(&api.Dataset{}, concerning(find, func(tune *api.FineTune, changed client.Object) bool {
			return tune.Spec.DatasetRef.Name == changed.GetName()
		}, &api.FineTuneList{}, tunes)).
		Watches(&api.BaseModel{}, concerning(find, func(tune *api.FineTune, changed client.Object) bool {
			return tune.Spec.BaseModelRef.Name == changed.GetName()
		}, &api.FineTuneList{}, tunes)).
		Watches(&api.Collective{}, concerning(find, waits, &api.FineTuneList{}, tunes)).
		Watches(&api.Contribution{}, concerning(find, waits, &api.FineTuneList{}, tunes)).
		Complete(&fineTuneReconciler{w})
}

func build(manager ctrl.Manager, name string, object client.Object) *builder.Builder {
	return ctrl.NewControllerManagedBy(manager).Named(name).For(object)
}

// ofRun is the object a run's pod was made for.
func ofRun(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, pod client.Object) []reconcile.Request {
		if pod.GetLabels()["cooperator.dev/kind"] != kind {
			return nil
		}
		name := pod.GetLabels()["cooperator.dev/name"]
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
	})
}

// held are the Contributions that a Dataset's newest version speaks of.
func held(_ context.Context, object client.Object) []reconcile.Request {
	dataset, ok := object.(*api.Dataset)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, row := range dataset.Status.Contributions {
		name := types.NamespacedName{Namespace: dataset.Namespace, Name: row.Name}
		requests = append(requests, reconcile.Request{NamespacedName: name})
	}
	return requests
}

// concerning are the objects of the changed one's namespace that it concerns, read from the cache without copies.
func concerning[T client.Object, L client.ObjectList](
	find client.Reader, concerns func(T, client.Object) bool, empty L, items func(L) []T,
) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
		list, ok := empty.DeepCopyObject().(L)
		if !ok {
			return nil
		}
		if err := find.List(ctx, list, client.InNamespace(changed.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
			return nil
		}
		var requests []reconcile.Request
		for _, item := range items(list) {
			if concerns(item, changed) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(item)})
			}
		}
		return requests
	})
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for index := range items {
		all[index] = &items[index]
	}
	return all
}

func tunes(list *api.FineTuneList) []*api.FineTune                 { return pointers(list.Items) }
func datasets(list *api.DatasetList) []*api.Dataset                { return pointers(list.Items) }
func deployments(list *api.DeploymentList) []*api.Deployment       { return pointers(list.Items) }
func baseModels(list *api.BaseModelList) []*api.BaseModel          { return pointers(list.Items) }
func contributions(list *api.ContributionList) []*api.Contribution { return pointers(list.Items) }
