#!/usr/bin/env bash
# Measures the hub: how many events a second devices can send it over MQTT with TLS,
# each acknowledged after an fsync, while an application reads them from its Event
# Hubs-compatible endpoint; how many a second an application reads that comes later;
# and what the disk below it does.
#
#   bench/hub.sh
#
# What can be set, with the defaults:
#
#   CLIENTS=100 WINDOW=16 SIZE=256 SECONDS_EACH=10
#   HUB=127.0.0.51 PORT=27883
#   WORK=       a directory on the disk to measure (default: below the temporary one)
#   SLUICE=     the program (default: built from this tree)
#
# It ends by itself, within about a minute with the defaults.
set -euo pipefail

CLIENTS=${CLIENTS:-100} WINDOW=${WINDOW:-16} SIZE=${SIZE:-256} SECONDS_EACH=${SECONDS_EACH:-10}
HUB=${HUB:-127.0.0.51} PORT=${PORT:-27883}
HTTPS_PORT=$((PORT + 1)) AMQP_PORT=$((PORT + 2))
. "$(dirname "$0")/site.sh"

# read_all reads as many events as are asked for, from the first, and prints how many
# seconds it took after the time given.
read_all() {
	local n=$1 since=$2
	timeout 300 "$SLUICE" monitor --hub-data "$WORK/hub" --event-hub --from start --json --count "$n" >/dev/null ||
		die "the events could not be read"
	awk -v since="$since" -v now="$(date +%s.%N)" 'BEGIN { print now - since }'
}

find_sluice
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
start_hub
register "$CLIENTS"

# What is read at the same time is counted by lines: how many there will be is not
# known yet.
"$SLUICE" monitor --hub-data "$WORK/hub" --event-hub --from start --json >"$WORK/read" 2>"$WORK/monitor.log" &
pids+=("$!")
began=$(date +%s.%N)
out=$(SLUICE_BENCH_CONNECTION_STRING="HostName=$HUB;DeviceId=bench-{n};SharedAccessKey=$device_key" timeout 120 "$SLUICE" bench mqtt \
	--json --url "mqtts://$HUB:$PORT" --ca "$WORK/hub/root.pem" --clients "$CLIENTS" --window "$WINDOW" --size "$SIZE" \
	--duration "${SECONDS_EACH}s") || die "$out"
sent=$(field acknowledged <<<"$out")
behind=$((sent - $(wc -l <"$WORK/read")))
for _ in $(seq 600); do
	read=$(wc -l <"$WORK/read")
	if [ "$read" -ge "$sent" ]; then break; fi
	sleep 0.1
done
took=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
later=$(read_all "$sent" "$(date +%s.%N)")
disk=$(timeout 60 "$SLUICE" bench spool "$WORK" --writers 1 --size "$SIZE" --duration 1s --json | sed -n '/bareSyncMs/,/}/p' | field p50)

cat <<END
$(machine)
events of $SIZE bytes from $CLIENTS clients, window $WINDOW, over TLS; a bare write and fsync: p50 $disk ms

in                 $(field messagesPerSecond <<<"$out" | cut -d. -f1) a second, p50 $(field p50 <<<"$out") ms, p99 $(field p99 <<<"$out") ms, acknowledged after fsync
out, meanwhile     $(awk -v n="$read" -v s="$took" 'BEGIN { printf "%.0f", n / s }') a second, $behind of $sent behind when the last was sent
out, later         $(awk -v n="$sent" -v s="$later" 'BEGIN { printf "%.0f", n / s }') a second
END
