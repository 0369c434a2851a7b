{{/* What both monitors say of an endpoint. */}}
{{- define "hookline.scrape" -}}
path: /metrics
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Objects that the cluster does not know are not left out in silence. */}}
{{- define "hookline.needs" -}}
{{- if not (.root.Capabilities.APIVersions.Has .api) -}}
{{- fail (printf "%s needs %s, which the cluster does not have (helm template: --api-versions %s)" .value .api .api) -}}
{{- end -}}
{{- end -}}
