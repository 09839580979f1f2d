# A gateway with its hub and devices, and how they are measured, for the scripts that
# compare them with other brokers. Those set PORT, HTTPS_PORT, AMQP_PORT, the
# addresses GATEWAY, HUB and PEER, WORK and SLUICE (both may be empty), and
# servers: the ids of all that alone may stop.

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
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
		log_level = "${LOG_LEVEL:-warn}"
		[sluice.listen]
		address = "$GATEWAY"
		mqtt_port = $PORT
		amqp_port = ${GATEWAY_AMQP_PORT:-0}
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

# alone lets those of the servers go on that are named, by id, and stops the others.
alone() {
	local pid
	for pid in "${servers[@]}"; do
		case " $* " in
		*" $pid "*) kill -CONT "$pid" 2>/dev/null || true ;;
		*) kill -STOP "$pid" 2>/dev/null || true ;;
		esac
	done
}

# take measures a server, by id, while the load generator runs with the arguments
# given, and appends to the files of what it measured.
take() {
	local server=$1 as=$2 before after out
	shift 2
	before=$(processor "$server")
	out=$("$@") || die "$as: $out"
	after=$(processor "$server")
	field messagesPerSecond <<<"$out" >>"$WORK/$as.rate"
	field p50 <<<"$out" >>"$WORK/$as.p50"
	field p99 <<<"$out" >>"$WORK/$as.p99"
	field "p99.9" <<<"$out" >>"$WORK/$as.p999"
	awk -v cpu="$(awk "BEGIN { print $after - $before }")" -v n="$(field acknowledged <<<"$out")" \
		'BEGIN { print n ? cpu / n * 1e6 : 0 }' >>"$WORK/$as.cpu"
}

# as_devices runs the load generator as devices of the gateway.
as_devices() {
	SLUICE_BENCH_CONNECTION_STRING="HostName=$HUB;DeviceId=bench-{n};SharedAccessKey=$device_key" \
		timeout 120 "$SLUICE" bench "$@" --json --ca "$root"
}

# machine is what was measured on.
machine() {
	echo "$(nproc) processors ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg); load generator and hub on the same machine"
}

of() { median <"$WORK/$1.$2"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

row() {
	printf '  %-28s %12.0f %10.3f %10.3f %10.3f %10.1f\n' "$2" "$(of "$1" rate)" "$(of "$1" p50)" "$(of "$1" p99)" "$(of "$1" p999)" "$(of "$1" cpu)"
}
