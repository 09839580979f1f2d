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

tree=$(cd "$(dirname "$0")/.." && pwd)
made=
if [ -z "${WORK:-}" ]; then
	WORK=$(mktemp -d)
	made=$WORK
fi
pids=()

finish() {
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		kill -CONT "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	if [ -n "$made" ]; then rm -rf "$made"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

die() {
	echo "compare: $*" >&2
	exit 1
}

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

find_sluice() {
	if [ -z "${SLUICE:-}" ]; then
		SLUICE=$WORK/sluice
		(cd "$tree" && go build -o "$SLUICE" ./cmd/sluice)
	fi
}

# start runs a program in the background, its output in a file; its id is in pid.
start() {
	local name=$1
	shift
	"$@" >"$WORK/$name.log" 2>&1 &
	pid=$!
	pids+=("$pid")
}

# ready waits until an address accepts connections.
ready() {
	local name=$1 host=$2 port=$3 i
	for i in $(seq 200); do
		if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then return; fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	tail -5 "$WORK/$name.log" >&2
	die "$name did not start on $host:$port"
}

# make_certificates makes one certificate that both servers use.
make_certificates() {
	"$SLUICE" certs root --dir "$WORK/certs" >/dev/null 2>&1
	"$SLUICE" certs edge --dir "$WORK/certs" --hostname "$GATEWAY" --name "$PEER" >/dev/null 2>&1
	root=$WORK/certs/root.pem
	cert=$WORK/certs/server-$GATEWAY.pem
	key=$WORK/certs/server-$GATEWAY.key
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

start_hub() {
	start hub "$SLUICE" hub --data "$WORK/hub" --listen "$HUB" --mqtt-port "$PORT" --amqp-port "$AMQP_PORT" --https-port "$HTTPS_PORT" --log-level warn
	hub_pid=$pid
	ready hub "$HUB" "$HTTPS_PORT"
}

# register makes the gateway and the devices below it, which share a key.
register() {
	local n=$1
	device() { "$SLUICE" device --hub-data "$WORK/hub" "$@" >>"$WORK/devices.log" 2>&1; }
	device create edge --edge || die "the gateway could not be registered: see $WORK/devices.log"
	edge=$("$SLUICE" device --hub-data "$WORK/hub" connection-string edge)
	device_key=$(head -c 32 /dev/urandom | base64)
	seq 0 $((n - 1)) | xargs -P 4 -I {} "$SLUICE" device --hub-data "$WORK/hub" \
		create bench-{} --parent edge --key "$device_key" >>"$WORK/devices.log" 2>&1 ||
		die "the devices could not be registered: see $WORK/devices.log"
}

start_gateway() {
	cat >"$WORK/config.toml" <<-END
		hostname = "$GATEWAY"
		[provisioning]
		source = "manual"
		connection_string = "$edge"
		[sluice]
		data_dir = "$WORK/gateway"
		log_level = "warn"
		[sluice.listen]
		address = "$GATEWAY"
		mqtt_port = $PORT
		amqp_port = 0
		https_port = 0
		[sluice.metrics]
		address = ""
		[sluice.tls]
		cert = "$cert"
		key = "$key"
		[sluice.hub]
		ca = "$WORK/hub/root.pem"
		mqtt_port = $PORT
		amqp_port = $AMQP_PORT
		https_port = $HTTPS_PORT
	END
	start gateway "$SLUICE" edge --config "$WORK/config.toml"
	gateway_pid=$pid
	ready gateway "$GATEWAY" "$PORT"
}

# --- measuring --------------------------------------------------------------

# field reads a number from JSON that has one field a line.
field() { sed -n "s/^ *\"$1\": *\([-0-9.e+]*\),*\$/\1/p" | head -1; }

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# processor is the processor time that a process has used, in seconds.
processor() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"; }

# bench runs the load generator against one of the two.
bench() {
	local what=$1
	shift
	case $what in
	mosquitto) timeout 120 "$SLUICE" bench "$@" --json --url "mqtts://$PEER:$PORT" --ca "$root" ;;
	*)
		SLUICE_BENCH_CONNECTION_STRING="HostName=$HUB;DeviceId=bench-{n};SharedAccessKey=$device_key" \
			timeout 120 "$SLUICE" bench "$@" --json --url "mqtts://$GATEWAY:$PORT" --ca "$root"
		;;
	esac
}

# alone lets the servers go on that are named, and stops the others.
alone() {
	local pid
	for pid in "$mosquitto_pid" "$gateway_pid" "$hub_pid"; do
		case " $* " in
		*" $pid "*) kill -CONT "$pid" 2>/dev/null || true ;;
		*) kill -STOP "$pid" 2>/dev/null || true ;;
		esac
	done
}

# load measures one round and appends to the files of what it measured.
load() {
	local what=$1 server=$2 as=$3 before after out
	shift 3
	case $what in
	mosquitto) alone "$mosquitto_pid" ;;
	*) alone "$gateway_pid" "$hub_pid" ;;
	esac
	before=$(processor "$server")
	out=$(bench "$what" mqtt --size "$SIZE" --duration "${SECONDS_EACH}s" --warm-up 1s "$@") || die "$what: $out"
	after=$(processor "$server")
	field messagesPerSecond <<<"$out" >>"$WORK/$as.rate"
	field p50 <<<"$out" >>"$WORK/$as.p50"
	field p99 <<<"$out" >>"$WORK/$as.p99"
	field "p99.9" <<<"$out" >>"$WORK/$as.p999"
	awk -v cpu="$(awk "BEGIN { print $after - $before }")" -v n="$(field acknowledged <<<"$out")" \
		'BEGIN { print n ? cpu / n * 1e6 : 0 }' >>"$WORK/$as.cpu"
}

of() { median <"$WORK/$1.$2"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

row() {
	printf '  %-28s %12.0f %10.3f %10.3f %10.3f %10.1f\n' "$2" "$(of "$1" rate)" "$(of "$1" p50)" "$(of "$1" p99)" "$(of "$1" p999)" "$(of "$1" cpu)"
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
$(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg); load generator and hub on the same machine
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
