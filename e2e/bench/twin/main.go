// The twin: an operator of the same kinds as Cooperator's, as it is usually written with controller-runtime. Typed kinds,
// informer caches, a reconciler a kind that computes the same status conditions and applies them. It starts no runs:
// the benchmark's objects ask for none. Its settings are those that cost it least: no managedFields in caches, lists
// without copies, as many workers as the operator has.
package main

import (
	"flag"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"cooperator.dev/e2e/bench/twin/api"
)

// managedBy is the label of everything that the operator made.
const managedBy = "app.kubernetes.io/managed-by"

func main() {
	var metrics, health string
	var workers int
	flag.StringVar(&metrics, "metrics-listen", "127.0.0.1:0", "where metrics are answered")
	flag.StringVar(&health, "health-listen", "127.0.0.1:0", "where health is answered")
	flag.IntVar(&workers, "concurrency", 8, "objects of one kind worked on at once")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(metrics, health, workers); err != nil {
		ctrl.Log.Error(err, "the twin ended")
		os.Exit(1)
	}
}

func run(metrics, health string, workers int) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := api.AddToScheme(scheme); err != nil {
		return err
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{managedBy: "cooperator"})}
	resync := 10 * time.Minute
	manager, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: metrics},
		HealthProbeBindAddress:        health,
		LeaderElection:                true,
		LeaderElectionID:              "cooperator-twin",
		LeaderElectionNamespace:       "default",
		LeaderElectionReleaseOnCancel: true,
		Controller:                    config.Controller{MaxConcurrentReconciles: workers},
		Cache: cache.Options{
			SyncPeriod:       &resync,
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&appsv1.Deployment{}: ours, &batchv1.Job{}: ours, &corev1.Pod{}: ours,
			},
		},
		// Secrets are read when they are needed, as the operator reads them: no right to list them is asked for.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	if err != nil {
		return err
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := setUp(manager); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
