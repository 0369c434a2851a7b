{{/*
The config as the user wrote it, and what the chart puts over it by `--set`: so the file in the ConfigMap is the user's own, and the two
ways to give it (values, text) and the third (a ConfigMap that is there already) are completed alike.
*/}}

{{/* The config as far as the chart can read it, as YAML: empty for an existing ConfigMap. */}}
{{- define "hookline.config" -}}
{{- if .Values.existingConfigMap -}}
{}
{{- else if .Values.configFile -}}
{{- $config := .Values.configFile | fromYaml -}}
{{- with $config.Error }}{{- fail (printf "configFile is not YAML: %s" .) -}}{{- end -}}
{{- toYaml $config -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{/* The text of hookline.yaml. */}}
{{- define "hookline.configText" -}}
{{- if .Values.configFile -}}
{{- .Values.configFile | trimAll "\n" -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{/* What takes effect only at a restart (docs/reload.md), for the checksum that makes the pod anew. */}}
{{- define "hookline.restartConfig" -}}
{{- $config := include "hookline.config" . | fromYaml -}}
{{- $kept := omit $config "topics" "mappings" "subscriptions" "secrets" "catalogue" "delivery" "limits" "log" -}}
{{- $limits := omit (default dict $config.limits) "event_bytes" "lane_queue" -}}
{{- $log := omit (default dict $config.log) "level" -}}
{{- toYaml (dict "config" $kept "limits" $limits "log" $log) -}}
{{- end -}}

{{/* Refuses what contradicts itself, with what to do. */}}
{{- define "hookline.refusals" -}}
{{- $config := include "hookline.config" . | fromYaml -}}
{{- $values := .Values -}}
{{- $given := ne (toJson $values.config) (toJson (dict "kafka" (dict "brokers" ""))) -}}
{{- if and (or $values.configFile $values.existingConfigMap) $given -}}
{{- fail "config is given by `config`, by `configFile` or by `existingConfigMap`: by one of them" -}}
{{- end -}}
{{- if and $values.configFile $values.existingConfigMap -}}
{{- fail "config is given by `configFile` or by `existingConfigMap`, not by both" -}}
{{- end -}}
{{- if and (not $values.existingConfigMap) (not (dig "kafka" "brokers" "" $config)) -}}
{{- fail "say where Kafka is: --set config.kafka.brokers=HOST:PORT" -}}
{{- end -}}
{{- if not (or $values.mappings $values.mappingsFrom $config.mappings $values.existingConfigMap) -}}
{{- fail "there are no mappings: --set-file mappings.NAME=FILE, or mappingsFrom with the names of ConfigMaps" -}}
{{- end -}}
{{- if and $values.api.tokens (dig "api" "tokens" list $config) -}}
{{- fail "tokens stand in `api.tokens` or in `config.api.tokens`, not in both" -}}
{{- end -}}
{{- if and $values.encryption.existingSecret (dig "store" "encryption_keys" list $config) -}}
{{- fail "encryption keys stand in `encryption` or in `config.store.encryption_keys`, not in both" -}}
{{- end -}}
{{- if and (or $values.ingress.enabled $values.httpRoute.enabled) (not (include "hookline.hasService" .)) -}}
{{- fail "an Ingress or HTTPRoute needs the API's Service, and without tokens the API listens on loopback only: add api.tokens" -}}
{{- end -}}
{{- if and $values.metrics.serviceMonitor.enabled $values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would both count everything: enable one" -}}
{{- end -}}
{{- $grace := include "hookline.grace" . | int -}}
{{- if and (not (kindIs "invalid" $values.terminationGracePeriodSeconds)) (le (int $values.terminationGracePeriodSeconds) $grace) -}}
{{- fail (printf "terminationGracePeriodSeconds must be more than shutdown.grace (%d s), in which the last is written down" $grace) -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration of the config, rounded up: 250ms 15s 10m 6h 3d. */}}
{{- define "hookline.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $factor := get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit -}}
{{- if $factor -}}
{{- mul $number $factor -}}
{{- else if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- fail (printf "%q is no duration: write 15s, 2m" .) -}}
{{- end -}}
{{- end -}}

{{/* 25s is the daemon's own default of shutdown.grace. */}}
{{- define "hookline.grace" -}}
{{- include "hookline.seconds" (dig "shutdown" "grace" "25s" (include "hookline.config" . | fromYaml) | toString) -}}
{{- end -}}

{{- define "hookline.terminationGracePeriodSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "hookline.grace" . | int) 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* Where the API listens. */}}
{{- define "hookline.apiListen" -}}
{{- $config := include "hookline.config" . | fromYaml -}}
{{- $tokens := or .Values.api.tokens (dig "api" "tokens" list $config) -}}
{{- dig "api" "listen" (ternary "0.0.0.0:8080" "127.0.0.1:8080" (not (empty $tokens))) $config -}}
{{- end -}}

{{- define "hookline.apiPort" -}}
{{- include "hookline.apiListen" . | splitList ":" | last -}}
{{- end -}}

{{- define "hookline.opsListen" -}}
{{- dig "metrics" "listen" "0.0.0.0:9464" (include "hookline.config" . | fromYaml) -}}
{{- end -}}

{{- define "hookline.opsPort" -}}
{{- include "hookline.opsListen" . | splitList ":" | last -}}
{{- end -}}

{{/* Not empty when the API has a Service. */}}
{{- define "hookline.hasService" -}}
{{- if kindIs "invalid" .Values.service.enabled -}}
{{- if not (regexMatch "^(127\\.|\\[::1\\])" (include "hookline.apiListen" .)) }}yes{{ end -}}
{{- else if .Values.service.enabled -}}
yes
{{- end -}}
{{- end -}}

{{/* The environment variable of a token's name, which has small letters, digits and hyphens. */}}
{{- define "hookline.tokenVariable" -}}
HOOKLINE_TOKEN_{{ . | upper | replace "-" "_" }}
{{- end -}}

{{/* What is put over the config, a YAML list of `--set` values. What the user said stays. */}}
{{- define "hookline.sets" -}}
{{- $config := include "hookline.config" . | fromYaml -}}
{{- $sets := list -}}
{{- if not (dig "store" "path" "" $config) -}}{{- $sets = append $sets "store.path=/var/lib/hookline/store" -}}{{- end -}}
{{- if not (dig "metrics" "listen" "" $config) -}}{{- $sets = append $sets (printf "metrics.listen=%s" (include "hookline.opsListen" .)) -}}{{- end -}}
{{- if and (not (dig "api" "listen" "" $config)) (or .Values.api.tokens (not .Values.existingConfigMap)) -}}
{{- $sets = append $sets (printf "api.listen=%s" (include "hookline.apiListen" .)) -}}
{{- end -}}
{{- if not (dig "log" "format" "" $config) -}}{{- $sets = append $sets "log.format=json" -}}{{- end -}}
{{- $places := include "hookline.places" (dict "own" .Values.mappings "from" .Values.mappingsFrom "also" $config.mappings "name" "mappings") -}}
{{- if or .Values.mappings .Values.mappingsFrom -}}{{- $sets = append $sets (printf "mappings=%s" $places) -}}{{- end -}}
{{- $places = include "hookline.places" (dict "own" .Values.subscriptions "from" .Values.subscriptionsFrom "also" $config.subscriptions "name" "subscriptions") -}}
{{- if or .Values.subscriptions .Values.subscriptionsFrom -}}{{- $sets = append $sets (printf "subscriptions=%s" $places) -}}{{- end -}}
{{- $sets = concat $sets (include "hookline.kafkaSets" . | fromYamlArray) (include "hookline.secretSets" . | fromYamlArray) -}}
{{- toYaml $sets -}}
{{- end -}}

{{/* Folders beside that of the config file: what the chart made, what was there, what the config names itself. */}}
{{- define "hookline.places" -}}
{{- $name := .name -}}
{{- $places := default list .also -}}
{{- if .own -}}{{- $places = append $places (printf "../%s" $name) -}}{{- end -}}
{{- range .from -}}{{- $places = append $places (printf "../%s-from/%s" $name .) -}}{{- end -}}
{{- toJson $places -}}
{{- end -}}

{{- define "hookline.kafkaSets" -}}
{{- $kafka := .Values.kafka -}}
{{- $properties := dig "kafka" "properties" dict (include "hookline.config" . | fromYaml) -}}
{{- $wanted := dict -}}
{{- if $kafka.tls.existingSecret -}}
{{- $_ := set $wanted "security.protocol" "ssl" -}}
{{- with $kafka.tls.caKey }}{{- $_ := set $wanted "ssl.ca.location" (printf "/etc/hookline/kafka-tls/%s" .) -}}{{- end -}}
{{- with $kafka.tls.certKey }}{{- $_ := set $wanted "ssl.certificate.location" (printf "/etc/hookline/kafka-tls/%s" .) -}}{{- end -}}
{{- with $kafka.tls.keyKey }}{{- $_ := set $wanted "ssl.key.location" (printf "/etc/hookline/kafka-tls/%s" .) -}}{{- end -}}
{{- end -}}
{{- if $kafka.existingSecret -}}
{{- $_ := set $wanted "security.protocol" "sasl_ssl" -}}
{{- $_ := set $wanted "sasl.mechanism" "SCRAM-SHA-512" -}}
{{- $_ := set $wanted "sasl.username" "${env:HOOKLINE_KAFKA_USERNAME}" -}}
{{- $_ := set $wanted "sasl.password" "${env:HOOKLINE_KAFKA_PASSWORD}" -}}
{{- end -}}
{{- $sets := list -}}
{{- range $property, $value := $wanted -}}
{{- if not (hasKey $properties $property) -}}{{- $sets = append $sets (printf "kafka.properties.%s=%s" $property $value) -}}{{- end -}}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}

{{/* References to the environment: the secrets themselves stand in no argument. JSON is YAML. */}}
{{- define "hookline.secretSets" -}}
{{- $sets := list -}}
{{- if .Values.encryption.existingSecret -}}
{{- $keys := list -}}
{{- range $index, $_ := .Values.encryption.keys -}}{{- $keys = append $keys (printf "${env:HOOKLINE_ENCRYPTION_KEY_%d}" $index) -}}{{- end -}}
{{- $sets = append $sets (printf "store.encryption_keys=%s" (toJson $keys)) -}}
{{- end -}}
{{- if .Values.schemaRegistry.existingSecret -}}
{{- range $field, $key := dict "username" .Values.schemaRegistry.usernameKey "password" .Values.schemaRegistry.passwordKey "token" .Values.schemaRegistry.tokenKey -}}
{{- if $key -}}{{- $sets = append $sets (printf "schema_registry.%s=${env:HOOKLINE_REGISTRY_%s}" $field (upper $field)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.api.tokens -}}
{{- $tokens := list -}}
{{- range $name, $token := .Values.api.tokens -}}
{{- $tokens = append $tokens (dict "name" $name "scope" $token.scope "token" (printf "${env:%s}" (include "hookline.tokenVariable" $name))) -}}
{{- end -}}
{{- $sets = append $sets (printf "api.tokens=%s" (toJson $tokens)) -}}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}
