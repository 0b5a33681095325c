{{- define "circ.name" -}}
{{- if contains "circ" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-circ" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "circ.agent" -}}{{ include "circ.name" . }}-agent{{- end }}
{{- define "circ.tier" -}}{{ include "circ.name" . }}-shared-tier{{- end }}

{{/* What one part's objects are found by: (list $ "agent") */}}
{{- define "circ.selector" -}}
app.kubernetes.io/name: circ
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "circ.labels" -}}
{{ include "circ.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{- define "circ.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "image.repository: where you have pushed circ's image" $image.repository -}}
{{- if $image.digest }}{{ $repository }}@{{ $image.digest }}{{ else }}{{ $repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Where containerd looks for hosts.toml; empty: circ leaves it alone. */}}
{{- define "circ.certsDirectory" -}}
{{- $k3s := "/var/lib/rancher/%s/agent/etc/containerd/certs.d" -}}
{{- $directories := dict
  "containerd" "/etc/containerd/certs.d"
  "kind" "/etc/containerd/certs.d"
  "eks" "/etc/containerd/certs.d"
  "aks" "/etc/containerd/certs.d"
  "gke" "/etc/containerd/hosts.d"
  "k3s" (printf $k3s "k3s")
  "rke2" (printf $k3s "rke2")
  "talos" "/etc/cri/conf.d/hosts" -}}
{{- if ne .Values.agent.certsDirectory "none" }}{{ .Values.agent.certsDirectory | default (index $directories .Values.distribution) }}{{ end }}
{{- end }}

{{- define "circ.tlsSecret" -}}
{{- if eq .Values.tls.mode "secret" }}{{ required "tls.secret: the name of your Secret" .Values.tls.secret }}{{ else }}{{ include "circ.tier" . }}-tls{{ end }}
{{- end }}

{{- define "circ.keySecret" -}}
{{ .Values.tier.keySecret | default (printf "%s-key" (include "circ.tier" .)) }}
{{- end }}

{{/* Names under which the shared tier is reached, a JSON list. */}}
{{- define "circ.tierNames" -}}
{{- $service := printf "%s.%s.svc" (include "circ.tier" .) .Release.Namespace -}}
{{- $names := list $service (printf "%s.cluster.local" $service) (printf "%s.%s" (include "circ.tier" .) .Release.Namespace) (include "circ.tier" .) -}}
{{- if .Values.ingress.host }}{{ $names = append $names .Values.ingress.host }}{{ end -}}
{{ toJson $names }}
{{- end }}

{{- define "circ.priorityClass" -}}
{{- if .Values.priorityClass.create }}{{ include "circ.agent" . }}-{{ .Release.Namespace }}{{ else }}{{ .Values.priorityClass.name }}{{ end }}
{{- end }}

{{/* Replicas need Leases only where they can be several. */}}
{{- define "circ.leases" -}}
{{ ternary "kubernetes" "memory" (eq .Values.tier.store.type "s3") }}
{{- end }}

{{/* A value as Kubernetes wants it, a string: numbers in files are floats, and large ones would become 1e+06. */}}
{{- define "circ.text" -}}
{{- if kindIs "float64" . }}{{ if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* Labels, annotations: a map name: value. */}}
{{- define "circ.texts" -}}
{{- range $name, $value := . }}
{{ quote $name }}: {{ include "circ.text" $value | quote }}
{{- end }}
{{- end }}

{{/* Variables of a map name: value, in the order of names. */}}
{{- define "circ.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "circ.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "circ.probe" -}}
startupProbe:
  # A large cache is looked through before anything else: a second for 8,000 contents, on a disk that has to search for them.
  httpGet: { path: /livez, port: status }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 600
livenessProbe:
  httpGet: { path: /livez, port: status }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: status }
  periodSeconds: 2
  timeoutSeconds: 2
{{- end }}
