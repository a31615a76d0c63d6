#!/bin/sh
# A plugin in twenty lines: Apps with the label `night: "N"` have N instances between 22:00 and 6:00, and by day what they had
# before. Run it every few minutes with a kubeconfig of the ServiceAccount of nightly.yaml. It keeps what it must remember on
# the App itself, so that it may be ended at any moment and run by several at once.
set -eu
hour=${HOUR:-$(date +%H)}
hour=${hour#0}
shown='{.metadata.namespace} {.metadata.name} {.metadata.labels.night} {.spec.instances} {.metadata.annotations.by-day}{"\n"}'
kubectl get apps.tenure.dev --all-namespaces --selector night --output jsonpath="{range .items[*]}$shown{end}" |
  while read -r namespace app night instances by_day; do
    app="--namespace=$namespace apps.tenure.dev/$app"
    if [ "$hour" -ge 22 ] || [ "$hour" -lt 6 ]; then
      # Remembered before it is changed.
      [ -n "$by_day" ] || kubectl annotate $app "by-day=$instances"
      [ "$instances" = "$night" ] || kubectl scale $app "--replicas=$night"
    elif [ -n "$by_day" ]; then
      kubectl scale $app "--replicas=$by_day"
      kubectl annotate $app by-day-
    fi
  done
