#!/usr/bin/env bash
# Measures Sluice's gateway and mosquitto in turn, on this machine, with the same
# certificate and the same load generator, and prints the ratios.
#
#   bench/compare.sh                       with mosquitto as it is installed
#   SLUICE_INSTALL=1 bench/compare.sh      installs it from Debian if need be
#
# Three comparisons: the rate of QoS 1 messages over TLS from many clients, how
# long one message takes from one client, and the resident memory of an idle TLS
# connection. Sluice acknowledges after an fsync; mosquitto runs without
# persistence and keeps nothing. The gateway is measured with its hub beside it,
# to which it sends on what it takes, and with the hub gone, when it only stores.
#
# The rounds alternate, so that what else the machine does falls on both, and the
# median of them counts. While one is measured the other stands still. What can be
# set, with the defaults:
#
#   CLIENTS=100 WINDOW=16 SIZE=256 SECONDS_EACH=5 ROUNDS=3 IDLE=2000
#   GATEWAY=127.0.0.41 HUB=127.0.0.42 PEER=127.0.0.43 PORT=28883
#   WORK=       a directory on the disk to measure (default: below the temporary one)
#   SLUICE=     the program (default: built from this tree)
#
# It ends by itself, within about five minutes with the defaults.
set -euo pipefail

CLIENTS=${CLIENTS:-100} WINDOW=${WINDOW:-16} SIZE=${SIZE:-256}
SECONDS_EACH=${SECONDS_EACH:-5} ROUNDS=${ROUNDS:-3} IDLE=${IDLE:-2000}
GATEWAY=${GATEWAY:-127.0.0.41} HUB=${HUB:-127.0.0.42} PEER=${PEER:-127.0.0.43} PORT=${PORT:-28883}
HTTPS_PORT=$((PORT + 1)) AMQP_PORT=$((PORT + 2))
. "$(dirname "$0")/site.sh"

# --- what is measured -------------------------------------------------------

find_mosquitto() {
	PATH=$PATH:/usr/sbin
	if ! command -v mosquitto >/dev/null && [ "${SLUICE_INSTALL:-}" = 1 ]; then
		apt-get install -y --no-install-recommends mosquitto >"$WORK/install.log" 2>&1 ||
			die "mosquitto could not be installed: see $WORK/install.log"
	fi
	command -v mosquitto >/dev/null ||
		die "mosquitto is not installed: apt-get install mosquitto, or run with SLUICE_INSTALL=1"
}

start_mosquitto() {
	cat >"$WORK/mosquitto.conf" <<-END
		listener $PORT $PEER
		certfile $cert
		keyfile $key
		allow_anonymous true
		persistence false
		log_type error
		set_tcp_nodelay true
		user root
	END
	start mosquitto mosquitto -c "$WORK/mosquitto.conf"
	mosquitto_pid=$pid
	ready mosquitto "$PEER" "$PORT"
}

# --- measuring --------------------------------------------------------------

# bench runs the load generator against one of the two.
bench() {
	local what=$1
	shift
	case $what in
	mosquitto) timeout 120 "$SLUICE" bench "$@" --json --url "mqtts://$PEER:$PORT" --ca "$root" ;;
	*) as_devices "$@" --url "mqtts://$GATEWAY:$PORT" ;;
	esac
}

# load measures one round.
load() {
	local what=$1 server=$2 as=$3
	shift 3
	case $what in
	mosquitto) alone "$mosquitto_pid" ;;
	*) alone "$gateway_pid" "$hub_pid" ;;
	esac
	take "$server" "$as" bench "$what" mqtt --size "$SIZE" --duration "${SECONDS_EACH}s" --warm-up 1s "$@"
}

idle() {
	local what=$1 server=$2
	bench "$what" idle --clients "$IDLE" --settle 5s --pid "$server" | field residentPerConnection
}

# --- the run ----------------------------------------------------------------

find_mosquitto
find_sluice
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
make_certificates
most=$((CLIENTS > IDLE ? CLIENTS : IDLE))
echo "compare: registering $most devices" >&2
start_hub
register "$most"
start_gateway
start_mosquitto
servers=("$mosquitto_pid" "$gateway_pid" "$hub_pid")

echo "compare: idle connections" >&2
mosquitto_idle=$(idle mosquitto "$mosquitto_pid")
gateway_idle=$(idle sluice "$gateway_pid")

many=(--clients "$CLIENTS" --window "$WINDOW")
one=(--clients 1 --window 1)
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub there" >&2
	load mosquitto "$mosquitto_pid" mosquitto-many "${many[@]}"
	load sluice "$gateway_pid" online-many "${many[@]}"
done
kill -CONT "$hub_pid"
kill "$hub_pid"
wait "$hub_pid" 2>/dev/null || true
# One client first: after many, the gateway is for a while busy putting its store
# in order.
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub gone, one client" >&2
	load mosquitto "$mosquitto_pid" mosquitto-one "${one[@]}"
	load sluice "$gateway_pid" offline-one "${one[@]}"
	alone
	timeout 60 "$SLUICE" bench spool "$WORK" --writers 1 --size "$SIZE" --duration 1s --json |
		sed -n '/bareSyncMs/,/}/p' | field p50 >>"$WORK/bare.p50"
done
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub gone, many clients" >&2
	load mosquitto "$mosquitto_pid" mosquitto-many "${many[@]}"
	load sluice "$gateway_pid" offline-many "${many[@]}"
done

cat <<END
$(mosquitto -h | head -1), $("$SLUICE" --version | head -1)
$(machine)
QoS 1 over TLS, $SIZE bytes, $ROUNDS rounds of $SECONDS_EACH s, medians; mosquitto keeps nothing, Sluice acknowledges after fsync

$CLIENTS clients, window $WINDOW          messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg
$(row mosquitto-many mosquitto)
$(row offline-many "Sluice, hub gone")
$(row online-many "Sluice, sending to the hub")
  rate of Sluice to mosquitto: $(ratio "$(of offline-many rate)" "$(of mosquitto-many rate)") hub gone, $(ratio "$(of online-many rate)" "$(of mosquitto-many rate)") sending on

1 client, window 1              messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg
$(row mosquitto-one mosquitto)
$(row offline-one "Sluice, hub gone")
  a bare write and fsync: p50 $(of bare p50) ms; Sluice's p50 to it: $(ratio "$(of offline-one p50)" "$(of bare p50)")

$IDLE idle TLS connections, resident memory each
  mosquitto $(awk "BEGIN { printf \"%.1f\", $mosquitto_idle / 1024 }") KiB, Sluice $(awk "BEGIN { printf \"%.1f\", $gateway_idle / 1024 }") KiB, ratio $(ratio "$gateway_idle" "$mosquitto_idle")
END
