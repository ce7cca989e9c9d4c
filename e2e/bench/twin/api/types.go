// Package api holds the kinds of cooperator.dev as controller-runtime's users write them: typed, with generated deep
// copies (`go run sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0 object paths=./api`). Fields are those of operator/crates/api.
//
// +kubebuilder:object:generate=true
// +groupName=cooperator.dev
package api

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Attempt is one attempt of a run.
type Attempt struct {
	Number      int32  `json:"number"`
	Job         string `json:"job"`
	TokenSha256 string `json:"tokenSha256"`
	StartedAt   string `json:"startedAt"`
	EndedAt     string `json:"endedAt,omitempty"`
	Node        string `json:"node,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Message     string `json:"message,omitempty"`
}

// Progress says how far a run is.
type Progress struct {
	Percentage                int32  `json:"percentage"`
	Phase                     string `json:"phase,omitempty"`
	Step                      *int64 `json:"step,omitempty"`
	Steps                     *int64 `json:"steps,omitempty"`
	Loss                      string `json:"loss,omitempty"`
	TokensPerSecond           *int64 `json:"tokensPerSecond,omitempty"`
	EstimatedRemainingSeconds *int64 `json:"estimatedRemainingSeconds,omitempty"`
	LastUpdatedTime           string `json:"lastUpdatedTime,omitempty"`
}

// Money is an amount in a currency.
type Money struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// Source says where something lies.
type Source struct {
	StorageURI string                       `json:"storageUri"`
	Digest     string                       `json:"digest,omitempty"`
	SecretRef  *corev1.LocalObjectReference `json:"secretRef,omitempty"`
}

// Collective is a group of people who own a model together.
//
// +kubebuilder:object:root=true
type Collective struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              CollectiveSpec   `json:"spec"`
	Status            CollectiveStatus `json:"status,omitempty"`
}

// CollectiveSpec is what a group agrees on.
type CollectiveSpec struct {
	DisplayName string        `json:"displayName,omitempty"`
	Members     []Member      `json:"members"`
	Policy      Policy        `json:"policy"`
	Treasury    Treasury      `json:"treasury"`
	Gateway     GatewayOption `json:"gateway,omitempty"`
}

// Member is one of the group.
type Member struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
}

// Policy says what may be used.
type Policy struct {
	BaseModelLicenses    []string `json:"baseModelLicenses"`
	ContributionLicenses []string `json:"contributionLicenses"`
	RequiredGrants       []string `json:"requiredGrants,omitempty"`
}

// Treasury says how money is handled.
type Treasury struct {
	Currency         string `json:"currency"`
	Decimals         int32  `json:"decimals,omitempty"`
	SettlementPeriod string `json:"settlementPeriod,omitempty"`
	PricePerNodeHour string `json:"pricePerNodeHour,omitempty"`
}

// GatewayOption says how many gateways there are.
type GatewayOption struct {
	Replicas int32 `json:"replicas,omitempty"`
}

// CollectiveStatus is where it stands.
type CollectiveStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Members            *int32             `json:"members,omitempty"`
	Storage            *Storage           `json:"storage,omitempty"`
	GatewayURL         string             `json:"gatewayUrl,omitempty"`
	Spent              *Money             `json:"spent,omitempty"`
}

// Storage is a Collective's bucket.
type Storage struct {
	Endpoint   string `json:"endpoint"`
	Region     string `json:"region"`
	Bucket     string `json:"bucket"`
	Prefix     string `json:"prefix"`
	SecretName string `json:"secretName"`
}

// CollectiveList is a list of them.
//
// +kubebuilder:object:root=true
type CollectiveList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Collective `json:"items"`
}

// Contribution is a member's work.
//
// +kubebuilder:object:root=true
type Contribution struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ContributionSpec   `json:"spec"`
	Status            ContributionStatus `json:"status,omitempty"`
}

// ContributionSpec is the consent record.
type ContributionSpec struct {
	CollectiveRef corev1.LocalObjectReference `json:"collectiveRef"`
	MemberRef     corev1.LocalObjectReference `json:"memberRef"`
	Modality      string                      `json:"modality,omitempty"`
	Source        Source                      `json:"source"`
	License       string                      `json:"license"`
	Grants        []Grant                     `json:"grants,omitempty"`
	SplitSheet    []SplitShare                `json:"splitSheet,omitempty"`
	Revoked       bool                        `json:"revoked,omitempty"`
}

// Grant allows or denies a use.
type Grant struct {
	Use     string `json:"use"`
	Allowed bool   `json:"allowed"`
}

// SplitShare is a part of a work.
type SplitShare struct {
	Member      string `json:"member"`
	BasisPoints int32  `json:"basisPoints"`
}

// ContributionStatus is where it stands.
type ContributionStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// ContributionList is a list of them.
//
// +kubebuilder:object:root=true
type ContributionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Contribution `json:"items"`
}

// BaseModel is an open model to start from.
//
// +kubebuilder:object:root=true
type BaseModel struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              BaseModelSpec   `json:"spec"`
	Status            BaseModelStatus `json:"status,omitempty"`
}

// BaseModelSpec says what it is.
type BaseModelSpec struct {
	CollectiveRef corev1.LocalObjectReference `json:"collectiveRef"`
	Modality      string                      `json:"modality,omitempty"`
	Source        Source                      `json:"source"`
	License       string                      `json:"license"`
}

// BaseModelStatus is where it stands.
type BaseModelStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Digest             string             `json:"digest,omitempty"`
	Architecture       string             `json:"architecture,omitempty"`
	Parameters         *int64             `json:"parameters,omitempty"`
	Progress           *Progress          `json:"progress,omitempty"`
	Attempts           []Attempt          `json:"attempts,omitempty"`
}

// BaseModelList is a list of them.
//
// +kubebuilder:object:root=true
type BaseModelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BaseModel `json:"items"`
}

// Dataset is a selection of works.
//
// +kubebuilder:object:root=true
type Dataset struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              DatasetSpec   `json:"spec"`
	Status            DatasetStatus `json:"status,omitempty"`
}

// DatasetSpec says which.
type DatasetSpec struct {
	CollectiveRef corev1.LocalObjectReference `json:"collectiveRef"`
	Modality      string                      `json:"modality,omitempty"`
	Selector      metav1.LabelSelector        `json:"selector"`
	BaseModelRef  corev1.LocalObjectReference `json:"baseModelRef"`
	Refresh       string                      `json:"refresh,omitempty"`
}

// DatasetStatus is where it stands.
type DatasetStatus struct {
	ObservedGeneration int64               `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition  `json:"conditions,omitempty"`
	Digest             string              `json:"digest,omitempty"`
	InputsDigest       string              `json:"inputsDigest,omitempty"`
	Building           string              `json:"building,omitempty"`
	Records            *int64              `json:"records,omitempty"`
	Tokens             *int64              `json:"tokens,omitempty"`
	Contributions      []ContributionState `json:"contributions,omitempty"`
	Progress           *Progress           `json:"progress,omitempty"`
	Attempts           []Attempt           `json:"attempts,omitempty"`
}

// ContributionState is a row of a Dataset.
type ContributionState struct {
	Name    string `json:"name"`
	Member  string `json:"member"`
	State   string `json:"state"`
	Records *int64 `json:"records,omitempty"`
	Tokens  *int64 `json:"tokens,omitempty"`
}

// DatasetList is a list of them.
//
// +kubebuilder:object:root=true
type DatasetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Dataset `json:"items"`
}

// Deployment serves an adapter.
//
// +kubebuilder:object:root=true
type Deployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              DeploymentSpec   `json:"spec"`
	Status            DeploymentStatus `json:"status,omitempty"`
}

// DeploymentSpec says which.
type DeploymentSpec struct {
	ModelName   string                      `json:"modelName,omitempty"`
	FineTuneRef corev1.LocalObjectReference `json:"fineTuneRef"`
	Replicas    int32                       `json:"replicas,omitempty"`
}

// DeploymentStatus is where it stands.
type DeploymentStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	AdapterDigest      string             `json:"adapterDigest,omitempty"`
}

// DeploymentList is a list of them.
//
// +kubebuilder:object:root=true
type DeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Deployment `json:"items"`
}

// ApiKey is one consumer's key.
//
// +kubebuilder:object:root=true
type ApiKey struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ApiKeySpec   `json:"spec"`
	Status            ApiKeyStatus `json:"status,omitempty"`
}

// ApiKeySpec says whose.
type ApiKeySpec struct {
	CollectiveRef corev1.LocalObjectReference `json:"collectiveRef"`
	Consumer      string                      `json:"consumer"`
	Deployments   []string                    `json:"deployments,omitempty"`
	ExpiresAt     string                      `json:"expiresAt,omitempty"`
	Revoked       bool                        `json:"revoked,omitempty"`
	SecretRef     corev1.LocalObjectReference `json:"secretRef"`
}

// ApiKeyStatus is where it stands.
type ApiKeyStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Prefix             string             `json:"prefix,omitempty"`
	Sha256             string             `json:"sha256,omitempty"`
}

// ApiKeyList is a list of them.
//
// +kubebuilder:object:root=true
type ApiKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ApiKey `json:"items"`
}

// Settlement is one closed period. The twin watches it as the operator does; the benchmark has none.
//
// +kubebuilder:object:root=true
type Settlement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              SettlementSpec `json:"spec"`
}

// SettlementSpec says of whom.
type SettlementSpec struct {
	CollectiveRef corev1.LocalObjectReference `json:"collectiveRef"`
	Currency      string                      `json:"currency"`
	Gross         string                      `json:"gross"`
}

// SettlementList is a list of them.
//
// +kubebuilder:object:root=true
type SettlementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Settlement `json:"items"`
}
