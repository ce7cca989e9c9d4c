{{- define "cooperator.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "cooperator.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/name: cooperator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels that select the pods of one component: (dict "root" $ "component" "operator") */}}
{{- define "cooperator.selector" -}}
app.kubernetes.io/name: cooperator
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Image reference: (dict "image" .Values.image "default" .Chart.AppVersion) */}}
{{- define "cooperator.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ .image.tag | default .default }}{{ end }}
{{- end }}

{{- define "cooperator.garageSecret" -}}
{{ .Values.objectStorage.embedded.existingSecret | default (printf "%s-garage" (include "cooperator.fullname" .)) }}
{{- end }}

{{- define "cooperator.tunnelSecret" -}}
{{ .Values.rentedNodes.tunnel.certificateSecret | default (printf "%s-tunnel" (include "cooperator.fullname" .)) }}
{{- end }}

{{/* Pod Security `restricted`. */}}
{{- define "cooperator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cooperator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
