{{/* The name of everything: the release's. */}}
{{- define "spoolsink.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "spoolsink.selector" -}}
app.kubernetes.io/name: spoolsink
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "spoolsink.labels" -}}
{{ include "spoolsink.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The port of admin.listen. */}}
{{- define "spoolsink.port" -}}
{{- $listen := dig "admin" "listen" "127.0.0.1:8083" .Values.config -}}
{{- if hasPrefix "127." $listen -}}
{{- fail "config.admin.listen: must be reachable by the kubelet, such as 0.0.0.0:8083 (with a token)" -}}
{{- end -}}
{{- regexFind "[0-9]+$" $listen -}}
{{- end -}}
