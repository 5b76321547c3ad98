{{/* A size of the sink's file (64KiB, 2GiB, 1MB) as whole bytes. */}}
{{- define "spoolsink.bytes" -}}
{{- $units := dict "B" 1 "kB" 1e3 "MB" 1e6 "GB" 1e9 "TB" 1e12 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776 -}}
{{- $text := toString . -}}
{{- if eq $text "0" -}}0{{- else -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]?B|[KMGT]iB)$" $text) -}}
{{- fail (printf "config: found %s; allowed: a size such as 64KiB, 8MiB, 2GiB or 1MB" $text) -}}
{{- end -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (float64 (get $units $unit)) | floor | int64 -}}
{{- end -}}
{{- end -}}

{{/* A duration of the sink's file (250ms, 30s, 10m) as whole seconds, rounded up. */}}
{{- define "spoolsink.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- $text := toString . -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "config: found %s; allowed: a duration such as 250ms, 30s, 10m, 1h or 1d" $text) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (float64 (get $units $unit)) | ceil | int64 -}}
{{- end -}}

{{/* A key of one section in bytes: (list config section key default). */}}
{{- define "spoolsink.sizeOf" -}}
{{- include "spoolsink.bytes" (dig (index . 1) (index . 2) (index . 3) (index . 0)) -}}
{{- end -}}

{{/* What the process holds when it is busy: itself (80 MiB) and its buffers, in bytes. */}}
{{- define "spoolsink.busyBytes" -}}
{{- $write := include "spoolsink.sizeOf" (list . "spool" "write_buffer" "32MiB") | int64 -}}
{{- $fetch := include "spoolsink.sizeOf" (list . "kafka" "fetch_buffer" "64MiB") | int64 -}}
{{- $part := include "spoolsink.sizeOf" (list . "s3" "part_size" "8MiB") | int64 -}}
{{- $uploads := dig "s3" "uploads" 4 . | int64 -}}
{{- add 83886080 $write $fetch (mul $part $uploads) -}}
{{- end -}}

{{/* The memory request in Mi: that, rounded up to 64 Mi. */}}
{{- define "spoolsink.requestMi" -}}
{{- $bytes := include "spoolsink.busyBytes" . | int64 -}}
{{- mul 64 (div (add $bytes 67108863) 67108864) -}}
{{- end -}}

{{/* The memory limit in Mi: also 2 KiB for each open segment, and one Kafka batch decompressed. */}}
{{- define "spoolsink.limitMi" -}}
{{- $segments := mul 2048 (dig "spool" "max_open" 50000 . | int64) -}}
{{- $batch := include "spoolsink.sizeOf" (list . "kafka" "batch_max_bytes" "64MiB") | int64 -}}
{{- $bytes := add (include "spoolsink.busyBytes" . | int64) $segments $batch -}}
{{- mul 64 (div (add $bytes 67108863) 67108864) -}}
{{- end -}}

{{/* The volume in Mi: a tenth above what the spool may take and must leave free. */}}
{{- define "spoolsink.volumeMi" -}}
{{- $max := include "spoolsink.sizeOf" (list . "spool" "max_bytes" "10GiB") | int64 -}}
{{- $free := include "spoolsink.sizeOf" (list . "spool" "min_free_bytes" "1GiB") | int64 -}}
{{- div (mul 11 (add $max $free)) 10485760 | add1 -}}
{{- end -}}
