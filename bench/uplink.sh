#!/usr/bin/env bash
# Measures what sending on costs a gateway: the rate of QoS 1 messages over TLS from many
# clients with the hub there, to which the gateway sends on what it takes, over AMQP and
# TLS, and with the hub gone, when it only stores. Either way a message is acknowledged
# after an fsync.
#
#   bench/uplink.sh
#
# The hub is on the same machine, so the rates say what a machine does, and the
# processor time says what the gateway does: the gateway's alone, for each message.
#
# The rounds alternate and the median of them counts. What can be set, with the
# defaults:
#
#   CLIENTS=100 WINDOW=16 SIZE=256 SECONDS_EACH=5 ROUNDS=3
#   GATEWAY=127.0.0.71 HUB=127.0.0.72 PORT=30883
#   WORK=       a directory on the disk to measure (default: below the temporary one)
#   SLUICE=     the program (default: built from this tree)
#
# It ends by itself, within about three minutes with the defaults.
set -euo pipefail

CLIENTS=${CLIENTS:-100} WINDOW=${WINDOW:-16} SIZE=${SIZE:-256} SECONDS_EACH=${SECONDS_EACH:-5} ROUNDS=${ROUNDS:-3}
GATEWAY=${GATEWAY:-127.0.0.71} HUB=${HUB:-127.0.0.72} PEER=$GATEWAY PORT=${PORT:-30883}
HTTPS_PORT=$((PORT + 1)) AMQP_PORT=$((PORT + 2))
. "$(dirname "$0")/site.sh"

measure() {
	take "$gateway_pid" "$1" as_devices mqtt --url "mqtts://$GATEWAY:$PORT" --clients "$CLIENTS" --window "$WINDOW" \
		--size "$SIZE" --duration "${SECONDS_EACH}s" --warm-up 1s
}

# drained waits until the gateway has sent on all it had.
drained() {
	local waiting=
	for _ in $(seq 600); do
		waiting=$("$SLUICE" gateway status --data "$WORK/gateway" --json | field waiting)
		if [ "$waiting" = 0 ]; then return; fi
		sleep 0.2
	done
	die "after two minutes $waiting messages still wait: see $WORK/gateway.log"
}

find_sluice
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
make_certificates
start_hub
register "$CLIENTS"
start_gateway
for round in $(seq "$ROUNDS"); do
	echo "uplink: round $round of $ROUNDS, up" >&2
	measure up
	drained
	kill "$hub_pid"
	wait "$hub_pid" 2>/dev/null || true
	echo "uplink: round $round of $ROUNDS, cut" >&2
	measure cut
	start_hub
	drained
done

cat <<END
$("$SLUICE" --version | head -1)
$(machine)
QoS 1 over TLS, $SIZE bytes, $CLIENTS clients, window $WINDOW, $ROUNDS rounds of $SECONDS_EACH s, medians

                                messages/s     p50 ms     p99 ms   p99.9 ms   CPU µs/msg
$(row cut "uplink cut")
$(row up "uplink up")
  up to cut: rate $(ratio "$(of up rate)" "$(of cut rate)"), processor time of the gateway $(ratio "$(of cut cpu)" "$(of up cpu)")
END
