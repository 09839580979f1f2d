#!/usr/bin/env bash
# Measures what routes cost a gateway: the rate of QoS 1 messages over TLS from many
# clients when each goes to one endpoint, the hub, and when each goes to three, the hub
# and two inputs of a module. Hub and module are away, so that all of it is stored and
# nothing is sent on, and the messages are acknowledged after an fsync.
#
#   bench/endpoints.sh
#
# The rounds alternate and the median of them counts. What can be set, with the
# defaults:
#
#   CLIENTS=100 WINDOW=16 SIZE=256 SECONDS_EACH=5 ROUNDS=3
#   GATEWAY=127.0.0.61 HUB=127.0.0.62 PORT=29883
#   WORK=       a directory on the disk to measure (default: below the temporary one)
#   SLUICE=     the program (default: built from this tree)
#
# It ends by itself, within about two minutes with the defaults.
set -euo pipefail

CLIENTS=${CLIENTS:-100} WINDOW=${WINDOW:-16} SIZE=${SIZE:-256} SECONDS_EACH=${SECONDS_EACH:-5} ROUNDS=${ROUNDS:-3}
GATEWAY=${GATEWAY:-127.0.0.61} HUB=${HUB:-127.0.0.62} PEER=$GATEWAY PORT=${PORT:-29883}
HTTPS_PORT=$((PORT + 1)) AMQP_PORT=$((PORT + 2))
. "$(dirname "$0")/site.sh"

hub_route='"up": "FROM /messages/* INTO $upstream"'
module_route() { printf '"%s": "FROM /messages/* INTO BrokeredEndpoint(\\"/modules/filter/inputs/%s\\")"' "$1" "$1"; }
one="{$hub_route}"
three="{$hub_route, $(module_route a), $(module_route b)}"

# deploy gives the gateway routes while the hub is there, and takes the hub away.
deploy() {
	local before
	start_hub
	before=$(grep -c "deployment applied" "$WORK/gateway.log" || true)
	"$SLUICE" deploy set-modules edge --hub-data "$WORK/hub" --content "{\"modulesContent\": {\"\$edgeHub\": {\"properties.desired\": {
		\"schemaVersion\": \"1.1\", \"storeAndForwardConfiguration\": {\"timeToLiveSecs\": 7200}, \"routes\": $1}}}}" >"$WORK/deploy.log" 2>&1 ||
		die "the routes could not be set: see $WORK/deploy.log"
	for _ in $(seq 300); do
		if [ "$(grep -c "deployment applied" "$WORK/gateway.log")" -gt "$before" ]; then
			kill "$hub_pid"
			wait "$hub_pid" 2>/dev/null || true
			return
		fi
		sleep 0.1
	done
	die "the gateway did not take the routes: see $WORK/gateway.log"
}

measure() {
	take "$gateway_pid" "$1" as_devices mqtt --url "mqtts://$GATEWAY:$PORT" --clients "$CLIENTS" --window "$WINDOW" \
		--size "$SIZE" --duration "${SECONDS_EACH}s" --warm-up 1s
}

find_sluice
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
make_certificates
start_hub
register "$CLIENTS"
LOG_LEVEL=info start_gateway
kill "$hub_pid"
wait "$hub_pid" 2>/dev/null || true
for round in $(seq "$ROUNDS"); do
	echo "endpoints: round $round of $ROUNDS" >&2
	deploy "$one"
	measure one
	deploy "$three"
	measure three
done

cat <<END
$(machine)
QoS 1 over TLS, $SIZE bytes, $CLIENTS clients, window $WINDOW, $ROUNDS rounds of $SECONDS_EACH s, medians; acknowledged after fsync
each message to               messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg
$(row one "the hub")
$(row three "the hub and two inputs")
  rate of three endpoints to one: $(ratio "$(of three rate)" "$(of one rate)")
END
