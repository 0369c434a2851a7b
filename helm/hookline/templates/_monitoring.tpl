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

{{/* The groups of alerts: those that are shipped without those that are disabled, and a group with the user's own. */}}
{{- define "hookline.alerts" -}}
{{- $names := list -}}
{{- $groups := list -}}
{{- range .shipped.groups -}}
{{- $kept := list -}}
{{- range .rules -}}
{{- $names = append $names .alert -}}
{{- if not (has .alert $.values.disabled) -}}
{{- $kept = append $kept (merge (dict "labels" (merge (dict) $.values.alertLabels .labels)) .) -}}
{{- end -}}
{{- end -}}
{{- if $kept -}}
{{- $groups = append $groups (dict "name" .name "rules" $kept) -}}
{{- end -}}
{{- end -}}
{{- range .values.disabled -}}
{{- if not (has . $names) -}}
{{- fail (printf "metrics.prometheusRule.disabled: there is no alert %s; there are %s" . (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- with .values.additional -}}
{{- $groups = append $groups (dict "name" "additional" "rules" .) -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
