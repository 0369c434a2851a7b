{{/* Labels of the test's pod: not those that Services and policies of the daemon select by. */}}
{{- define "hookline.testLabels" -}}
app.kubernetes.io/name: {{ include "hookline.name" . | trunc 58 }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* How the daemon reaches the test's pod. */}}
{{- define "hookline.testHost" -}}
{{ include "hookline.fullname" . }}-test.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* The first token of scope admin, as the command line takes it. */}}
{{- define "hookline.testToken" -}}
{{- $found := dict -}}
{{- range .Values.api.tokens -}}
{{- if and (eq .scope "admin") (not $found) -}}{{- $found = . -}}{{- end -}}
{{- end -}}
{{- with $found -}}
{{ include "hookline.secretVariable" (dict "name" "HOOKLINE_TOKEN" "secret" .existingSecret "key" .key) }}
{{- end -}}
{{- end -}}

{{/* Refuses a test that could not succeed. What it opens in the guard is opened by the user, not by a test. */}}
{{- define "hookline.testRefusals" -}}
{{- $event := .Values.test.event -}}
{{- if not (and $event.topic $event.record) -}}
{{- fail "test.event: say what is sent, by test.event.topic and test.event.record" -}}
{{- end -}}
{{- if not (and (include "hookline.testToken" .) (include "hookline.hasService" .)) -}}
{{- fail "test.event: the test subscribes by the API, and needs a token of scope admin in api.tokens" -}}
{{- end -}}
{{- $egress := dig "egress" dict (include "hookline.config" . | fromYaml) -}}
{{- $host := include "hookline.testHost" . -}}
{{- if not (or .Values.existingConfigMap (and $egress.allow_http (has $host (default list $egress.allow)))) -}}
{{- fail (printf "test.event: the daemon may not call the test's pod. Set config.egress.allow_http: true and config.egress.allow: [%s]" $host) -}}
{{- end -}}
{{- end -}}

{{- define "hookline.testReady" -}}
- name: ready
  image: {{ include "hookline.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - health
    - --url=http://{{ include "hookline.fullname" . }}-headless:{{ include "hookline.opsPort" . }}/readyz
    # A start takes a while: helm test may come right behind helm install.
    - --within=60s
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
{{- end -}}
