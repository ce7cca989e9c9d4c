package api

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FineTune is the training of one adapter.
//
// +kubebuilder:object:root=true
type FineTune struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              FineTuneSpec   `json:"spec"`
	Status            FineTuneStatus `json:"status,omitempty"`
}

// FineTuneSpec says what is trained on what.
type FineTuneSpec struct {
	BaseModelRef            corev1.LocalObjectReference `json:"baseModelRef"`
	DatasetRef              DatasetRef                  `json:"datasetRef"`
	RuntimeRef              corev1.LocalObjectReference `json:"runtimeRef,omitempty"`
	Lora                    Lora                        `json:"lora,omitempty"`
	Training                Training                    `json:"training,omitempty"`
	Checkpoint              Checkpoint                  `json:"checkpoint,omitempty"`
	Evaluation              Evaluation                  `json:"evaluation,omitempty"`
	Attribution             Attribution                 `json:"attribution,omitempty"`
	Compute                 Compute                     `json:"compute,omitempty"`
	Suspend                 bool                        `json:"suspend,omitempty"`
	BackoffLimit            int32                       `json:"backoffLimit,omitempty"`
	ActiveDeadlineSeconds   int64                       `json:"activeDeadlineSeconds,omitempty"`
	TTLSecondsAfterFinished int32                       `json:"ttlSecondsAfterFinished,omitempty"`
	DeletionPolicy          string                      `json:"deletionPolicy,omitempty"`
}

// DatasetRef names a dataset version.
type DatasetRef struct {
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"`
}

// Lora is the adapter's shape.
type Lora struct {
	Rank          int32    `json:"rank,omitempty"`
	Alpha         int32    `json:"alpha,omitempty"`
	Dropout       string   `json:"dropout,omitempty"`
	TargetModules []string `json:"targetModules,omitempty"`
}

// Training is how it is trained.
type Training struct {
	MaxSteps             int64  `json:"maxSteps,omitempty"`
	BatchSize            int32  `json:"batchSize,omitempty"`
	SequenceLength       int32  `json:"sequenceLength,omitempty"`
	GradientAccumulation int32  `json:"gradientAccumulation,omitempty"`
	LearningRate         string `json:"learningRate,omitempty"`
	Schedule             string `json:"schedule,omitempty"`
	WarmupSteps          int64  `json:"warmupSteps,omitempty"`
	WeightDecay          string `json:"weightDecay,omitempty"`
	ClipNorm             string `json:"clipNorm,omitempty"`
	Seed                 int64  `json:"seed,omitempty"`
}

// Checkpoint is when state is kept.
type Checkpoint struct {
	EverySteps int64 `json:"everySteps,omitempty"`
	Keep       int32 `json:"keep,omitempty"`
}

// Evaluation is samples and gates.
type Evaluation struct {
	Prompts   []string `json:"prompts,omitempty"`
	MaxTokens int64    `json:"maxTokens,omitempty"`
	Gates     []Gate   `json:"gates,omitempty"`
}

// Gate is a bound.
type Gate struct {
	Metric   string `json:"metric"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// Attribution says who is credited.
type Attribution struct {
	Method string `json:"method,omitempty"`
}

// Compute is what it may run on.
type Compute struct {
	Resources       *corev1.ResourceRequirements `json:"resources,omitempty"`
	NodeSelector    map[string]string            `json:"nodeSelector,omitempty"`
	Tolerations     []corev1.Toleration          `json:"tolerations,omitempty"`
	MaxPricePerHour string                       `json:"maxPricePerHour,omitempty"`
	Budget          string                       `json:"budget,omitempty"`
}

// FineTuneStatus is how far it is and what came of it.
type FineTuneStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Progress           *Progress          `json:"progress,omitempty"`
	Attempts           []Attempt          `json:"attempts,omitempty"`
	Collective         string             `json:"collective,omitempty"`
	BaseModelDigest    string             `json:"baseModelDigest,omitempty"`
	DatasetDigest      string             `json:"datasetDigest,omitempty"`
	Cost               *Money             `json:"cost,omitempty"`
	Adapter            *Adapter           `json:"adapter,omitempty"`
	Evaluation         *EvaluationStatus  `json:"evaluation,omitempty"`
	Attribution        []MemberShare      `json:"attribution,omitempty"`
}

// Adapter is what was trained.
type Adapter struct {
	Digest     string `json:"digest"`
	StorageURI string `json:"storageUri"`
	Bytes      int64  `json:"bytes"`
}

// EvaluationStatus is what the evaluation found.
type EvaluationStatus struct {
	Base    Quality      `json:"base"`
	Adapted Quality      `json:"adapted"`
	Gates   []GateStatus `json:"gates,omitempty"`
}

// Quality on held-out records.
type Quality struct {
	Loss       string `json:"loss"`
	Perplexity string `json:"perplexity"`
}

// GateStatus is a gate and what was measured.
type GateStatus struct {
	Metric string `json:"metric"`
	Value  string `json:"value"`
	Passed bool   `json:"passed"`
}

// MemberShare is a member's part.
type MemberShare struct {
	Member      string `json:"member"`
	BasisPoints int32  `json:"basisPoints"`
}

// FineTuneList is a list of them.
//
// +kubebuilder:object:root=true
type FineTuneList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []FineTune `json:"items"`
}
