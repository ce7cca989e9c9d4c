package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind.
var GroupVersion = schema.GroupVersion{Group: "cooperator.dev", Version: "v1alpha1"}

// AddToScheme makes the kinds known.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ApiKey{}, &ApiKeyList{}, &BaseModel{}, &BaseModelList{}, &Collective{}, &CollectiveList{},
		&Contribution{}, &ContributionList{}, &Dataset{}, &DatasetList{}, &Deployment{}, &DeploymentList{},
		&FineTune{}, &FineTuneList{}, &Settlement{}, &SettlementList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
