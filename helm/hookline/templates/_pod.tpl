{{/* What the daemon's pod and the pod of `helm test` have alike: environment, mounts, volumes, but for the store. */}}

{{- define "hookline.env" -}}
- name: HOOKLINE_CONFIG
  value: /etc/hookline/config/hookline.yaml
{{- with .Values.kafka }}
{{- if .existingSecret }}
{{ include "hookline.secretVariable" (dict "name" "HOOKLINE_KAFKA_USERNAME" "secret" .existingSecret "key" .usernameKey) }}
{{ include "hookline.secretVariable" (dict "name" "HOOKLINE_KAFKA_PASSWORD" "secret" .existingSecret "key" .passwordKey) }}
{{- end }}
{{- end }}
{{- $registry := .Values.schemaRegistry }}
{{- if $registry.existingSecret }}
{{- range $field, $key := dict "USERNAME" $registry.usernameKey "PASSWORD" $registry.passwordKey "TOKEN" $registry.tokenKey }}
{{- if $key }}
{{ include "hookline.secretVariable" (dict "name" (printf "HOOKLINE_REGISTRY_%s" $field) "secret" $registry.existingSecret "key" $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- $encryption := .Values.encryption }}
{{- if $encryption.existingSecret }}
{{- range $index, $key := $encryption.keys }}
{{ include "hookline.secretVariable" (dict "name" (printf "HOOKLINE_ENCRYPTION_KEY_%d" $index) "secret" $encryption.existingSecret "key" $key) }}
{{- end }}
{{- end }}
{{- range $name, $token := .Values.api.tokens }}
{{ include "hookline.secretVariable" (dict "name" (include "hookline.tokenVariable" $name) "secret" $token.existingSecret "key" $token.key) }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hookline.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: { name: {{ .secret | quote }}, key: {{ .key | quote }} }
{{- end -}}

{{/* Whole folders, no subPath: what is mounted by subPath never changes while a pod runs. */}}
{{- define "hookline.mounts" -}}
- name: config
  mountPath: /etc/hookline/config
  readOnly: true
{{- range $kind := list "mappings" "subscriptions" }}
{{- if get $.Values $kind }}
- name: {{ $kind }}
  mountPath: /etc/hookline/{{ $kind }}
  readOnly: true
{{- end }}
{{- range $index, $name := get $.Values (printf "%sFrom" $kind) }}
- name: {{ $kind }}-{{ $index }}
  mountPath: /etc/hookline/{{ $kind }}-from/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- range $index, $name := .Values.secretMounts }}
- name: secret-{{ $index }}
  mountPath: /etc/hookline/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- if .Values.kafka.tls.existingSecret }}
- name: kafka-tls
  mountPath: /etc/hookline/kafka-tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hookline.volumes" -}}
- name: config
  configMap:
    name: {{ .Values.existingConfigMap | default (printf "%s-config" (include "hookline.fullname" .)) }}
{{- range $kind := list "mappings" "subscriptions" }}
{{- if get $.Values $kind }}
- name: {{ $kind }}
  configMap:
    name: {{ include "hookline.fullname" $ }}-{{ $kind }}
{{- end }}
{{- range $index, $name := get $.Values (printf "%sFrom" $kind) }}
- name: {{ $kind }}-{{ $index }}
  configMap:
    name: {{ $name }}
{{- end }}
{{- end }}
{{- /* Readable for the group that fsGroup names, and for nobody else. */}}
{{- range $index, $name := .Values.secretMounts }}
- name: secret-{{ $index }}
  secret:
    secretName: {{ $name }}
    defaultMode: 0440
{{- end }}
{{- with .Values.kafka.tls.existingSecret }}
- name: kafka-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hookline.files" -}}
{{- range $name, $text := . }}
{{ regexMatch "\\.ya?ml$" $name | ternary $name (printf "%s.yaml" $name) }}: |
{{ $text | trimAll "\n" | indent 2 }}
{{- end }}
{{- end -}}

{{- define "hookline.setArgs" -}}
{{- range (include "hookline.sets" . | fromYamlArray) }}
- {{ printf "--set=%s" . | quote }}
{{- end }}
{{- end -}}

{{/* Where a pod may run, and how it finds names. */}}
{{- define "hookline.placement" -}}
{{- $values := .Values -}}
{{- $placement := dict -}}
{{- range $key := list "priorityClassName" "runtimeClassName" "nodeSelector" "tolerations" "affinity" "dnsPolicy" "dnsConfig" "hostAliases" -}}
{{- with get $values $key -}}{{- $_ := set $placement $key . -}}{{- end -}}
{{- end -}}
{{- if $placement -}}{{- toYaml $placement -}}{{- end -}}
{{- end -}}
