{{/*
What the egress guard allows, as far as networks go: the same ranges as src/egress/address.rs, which tests/helm compares. A second layer
behind the guard, which also judges names.
*/}}

{{- define "hookline.refusedV4" -}}
[0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24,
 192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/4, 240.0.0.0/4, 168.63.129.16/32]
{{- end -}}

{{/* Of 2000::/3, which is all that is called. */}}
{{- define "hookline.refusedV6" -}}
["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]
{{- end -}}

{{/* The IPv4 ranges inside 64:ff9b::/96, for `egress.nat64`. */}}
{{- define "hookline.refusedNat64" -}}
["64:ff9b::/104", "64:ff9b::a00:0/104", "64:ff9b::6440:0/106", "64:ff9b::7f00:0/104", "64:ff9b::a9fe:0/112", "64:ff9b::ac10:0/108",
 "64:ff9b::c000:0/120", "64:ff9b::c000:200/120", "64:ff9b::c058:6300/120", "64:ff9b::c0a8:0/112", "64:ff9b::c612:0/111",
 "64:ff9b::c633:6400/120", "64:ff9b::cb00:7100/120", "64:ff9b::e000:0/100", "64:ff9b::f000:0/100", "64:ff9b::a83f:8110/128"]
{{- end -}}

{{/* A network as a CIDR; empty for a host name. */}}
{{- define "hookline.cidr" -}}
{{- if regexMatch "^[0-9a-fA-F.:]+/[0-9]+$" . -}}
{{- . -}}
{{- else if regexMatch "^[0-9]+(\\.[0-9]+){3}$" . -}}
{{- printf "%s/32" . -}}
{{- else if regexMatch "^[0-9a-fA-F:]*:[0-9a-fA-F:.]*$" . -}}
{{- printf "%s/128" . -}}
{{- end -}}
{{- end -}}

{{/* Peers for the internet, and for what egress.allow re-admits. */}}
{{- define "hookline.internet" -}}
{{- $egress := dig "egress" dict (include "hookline.config" . | fromYaml) -}}
{{- $v4 := include "hookline.refusedV4" . | fromYamlArray -}}
{{- $v6 := include "hookline.refusedV6" . | fromYamlArray -}}
{{- range $egress.deny -}}
{{- $cidr := include "hookline.cidr" . -}}
{{- if and $cidr (not (contains ":" $cidr)) -}}{{- $v4 = append $v4 $cidr -}}
{{- else if regexMatch "^[23][0-9a-fA-F]{3}:" $cidr -}}{{- $v6 = append $v6 $cidr -}}{{- end -}}
{{- end -}}
{{- $peers := list (dict "ipBlock" (dict "cidr" "0.0.0.0/0" "except" (uniq $v4))) (dict "ipBlock" (dict "cidr" "2000::/3" "except" (uniq $v6))) -}}
{{- if $egress.nat64 -}}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" "64:ff9b::/96" "except" (include "hookline.refusedNat64" . | fromYamlArray))) -}}
{{- end -}}
{{- range $egress.allow -}}
{{- with include "hookline.cidr" . -}}{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) -}}{{- end -}}
{{- end -}}
{{- toYaml $peers -}}
{{- end -}}

{{/* Ports of `egress.ports`; empty: any. */}}
{{- define "hookline.internetPorts" -}}
{{- $ports := dig "egress" "ports" "any" (include "hookline.config" . | fromYaml) -}}
{{- $rules := list -}}
{{- if kindIs "slice" $ports -}}
{{- range $ports -}}{{- $rules = append $rules (dict "protocol" "TCP" "port" (int .)) -}}{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{/* Ports of the brokers. 9092 is Kafka's own. */}}
{{- define "hookline.kafkaPorts" -}}
{{- $ports := list -}}
{{- if .Values.networkPolicy.kafka.ports -}}
{{- range .Values.networkPolicy.kafka.ports -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- else -}}
{{- range splitList "," (dig "kafka" "brokers" "" (include "hookline.config" . | fromYaml)) -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trim .)) | default "9092" | int) -}}
{{- end -}}
{{- end -}}
{{- $rules := list -}}
{{- range uniq $ports -}}{{- $rules = append $rules (dict "protocol" "TCP" "port" .) -}}{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
