#!/usr/bin/env bash
# Measures Sluice's gateway and RabbitMQ in turn over AMQP 1.0, on this machine, with
# the same certificate and the same load generator, and prints the ratios.
#
#   bench/compare-amqp.sh                       with RabbitMQ as it is installed
#   SLUICE_INSTALL=1 bench/compare-amqp.sh      installs it from Debian if need be
#
# Both settle a message when it is on the disk: the gateway after an fsync of its
# spool, RabbitMQ, with its plug-in rabbitmq_amqp1_0, when a durable queue has
# confirmed a durable message. Measured are the messages a second over TLS with one
# connection and with many, and how long one message takes from one client, beside
# the same over MQTT. The gateway is measured with its hub beside it, to which it
# sends on what it takes, and with the hub gone, when it only stores; nobody reads
# RabbitMQ's queue, which each round begins empty.
#
# The rounds alternate, so that what else the machine does falls on both, and the
# median of them counts. While one is measured the other stands still. What can be
# set, with the defaults:
#
#   CLIENTS=100 WINDOW=100 SIZE=256 SECONDS_EACH=5 ROUNDS=3
#   QUEUE=classic (or quorum)   QUEUES=one (or each: a queue for each client)
#   GATEWAY=127.0.0.46 HUB=127.0.0.47 PEER=127.0.0.48 PORT=29883
#   WORK=       a directory on the disk to measure (default: below the temporary one)
#   SLUICE=     the program (default: built from this tree)
#
# It ends by itself, within about six minutes with the defaults.
set -euo pipefail

CLIENTS=${CLIENTS:-100} WINDOW=${WINDOW:-100} SIZE=${SIZE:-256}
SECONDS_EACH=${SECONDS_EACH:-5} ROUNDS=${ROUNDS:-3} QUEUE=${QUEUE:-classic} QUEUES=${QUEUES:-one}
GATEWAY=${GATEWAY:-127.0.0.46} HUB=${HUB:-127.0.0.47} PEER=${PEER:-127.0.0.48} PORT=${PORT:-29883}
HTTPS_PORT=$((PORT + 1)) AMQP_PORT=$((PORT + 2)) GATEWAY_AMQP_PORT=$((PORT + 2))
. "$(dirname "$0")/site.sh"

# --- what is measured -------------------------------------------------------

find_rabbitmq() {
	rabbitmq=/usr/lib/rabbitmq/bin
	if ! [ -x "$rabbitmq/rabbitmq-server" ] && [ "${SLUICE_INSTALL:-}" = 1 ]; then
		apt-get install -y --no-install-recommends rabbitmq-server >"$WORK/install.log" 2>&1 ||
			die "RabbitMQ could not be installed: see $WORK/install.log"
	fi
	[ -x "$rabbitmq/rabbitmq-server" ] ||
		die "RabbitMQ is not installed: apt-get install rabbitmq-server, or run with SLUICE_INSTALL=1"
}

# start_rabbitmq starts a node of its own, on addresses of its own, with a port mapper
# of its own that ends with it.
start_rabbitmq() {
	mkdir "$WORK/rabbitmq"
	cat >"$WORK/rabbitmq/rabbitmq.conf" <<-END
		listeners.tcp = none
		listeners.ssl.1 = $PEER:$AMQP_PORT
		ssl_options.cacertfile = $root
		ssl_options.certfile = $cert
		ssl_options.keyfile = $key
		ssl_options.verify = verify_none
		log.console = false
	END
	echo '[rabbitmq_amqp1_0].' >"$WORK/rabbitmq/enabled_plugins"
	export HOME=$WORK/rabbitmq ERL_EPMD_ADDRESS=$PEER ERL_EPMD_PORT=$((PORT + 3))
	export RABBITMQ_NODENAME=bench@$PEER RABBITMQ_USE_LONGNAME=true RABBITMQ_DIST_PORT=$((PORT + 4))
	export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$HOME/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$HOME/enabled_plugins
	export RABBITMQ_MNESIA_BASE=$HOME/mnesia RABBITMQ_LOG_BASE=$HOME/log RABBITMQ_PID_FILE=$HOME/pid
	export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {${PEER//./,}}"
	start epmd epmd -address "$PEER" -port "$ERL_EPMD_PORT"
	ready epmd "$PEER" "$ERL_EPMD_PORT"
	start rabbitmq "$rabbitmq/rabbitmq-server"
	ready rabbitmq "$PEER" "$AMQP_PORT"
	rabbitmq_pid=$(cat "$RABBITMQ_PID_FILE")
	pids+=("$rabbitmq_pid")
	echo guest >"$WORK/password"
}

# empty_queues makes the queues anew: one, or one for each client.
empty_queues() {
	local last=0
	if [ "$QUEUES" = each ]; then last=$((CLIENTS - 1)); fi
	"$rabbitmq/rabbitmqctl" eval "[begin
		Q = rabbit_misc:r(<<\"/\">>, queue, <<\"load-\", (integer_to_binary(N))/binary>>),
		case rabbit_amqqueue:lookup(Q) of {ok, Old} -> rabbit_amqqueue:delete(Old, false, false, <<\"bench\">>); _ -> ok end,
		{new, _} = rabbit_amqqueue:declare(Q, true, false, [{<<\"x-queue-type\">>, longstr, <<\"$QUEUE\">>}], none, <<\"bench\">>)
	end || N <- lists:seq(0, $last)], ok." >"$WORK/queues.log" 2>&1 && grep -qx ok "$WORK/queues.log" ||
		die "the queue could not be made: see $WORK/queues.log"
}

# --- measuring --------------------------------------------------------------

as_rabbitmqs() {
	local queue=load-0
	if [ "$QUEUES" = each ]; then queue=load-{n}; fi
	timeout 120 "$SLUICE" bench "$@" --json --ca "$root" --url "amqps://$PEER:$AMQP_PORT" \
		--user guest --password-file "$WORK/password" --topic "/amq/queue/$queue"
}

# load measures one round, of a protocol.
load() {
	local what=$1 as=$2 protocol=$3
	shift 3
	set -- "$protocol" --size "$SIZE" --duration "${SECONDS_EACH}s" --warm-up 1s "$@"
	case $what in
	rabbitmq)
		alone "$rabbitmq_pid"
		empty_queues
		take "$rabbitmq_pid" "$as" as_rabbitmqs "$@"
		;;
	*)
		alone "$gateway_pid" "$hub_pid"
		case $protocol in
		amqp) set -- "$@" --url "amqps://$GATEWAY:$GATEWAY_AMQP_PORT" ;;
		mqtt) set -- "$@" --url "mqtts://$GATEWAY:$PORT" ;;
		esac
		take "$gateway_pid" "$as" as_devices "$@"
		;;
	esac
}

# --- the run ----------------------------------------------------------------

find_rabbitmq
find_sluice
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
make_certificates
echo "compare: registering $CLIENTS devices" >&2
start_hub
register "$CLIENTS"
start_gateway
start_rabbitmq
servers=("$rabbitmq_pid" "$gateway_pid" "$hub_pid")

many=(--clients "$CLIENTS" --window "$WINDOW")
one=(--clients 1 --window "$WINDOW")
lone=(--clients 1 --window 1)
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub there" >&2
	load sluice online-one amqp "${one[@]}"
	load sluice online-many amqp "${many[@]}"
done
kill -CONT "$hub_pid"
kill "$hub_pid"
wait "$hub_pid" 2>/dev/null || true
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub gone, one message at a time" >&2
	load rabbitmq rabbitmq-lone amqp "${lone[@]}"
	load sluice offline-lone amqp "${lone[@]}"
	load sluice mqtt-lone mqtt "${lone[@]}"
done
for round in $(seq "$ROUNDS"); do
	echo "compare: round $round of $ROUNDS, hub gone" >&2
	load rabbitmq rabbitmq-one amqp "${one[@]}"
	load sluice offline-one amqp "${one[@]}"
	load rabbitmq rabbitmq-many amqp "${many[@]}"
	load sluice offline-many amqp "${many[@]}"
done
version=$(kill -CONT "$rabbitmq_pid" && "$rabbitmq/rabbitmqctl" -q version)

table() {
	local what=$1 title=$2
	cat <<-END
		$title
		$(row "rabbitmq-$what" RabbitMQ)
		$(row "offline-$what" "Sluice, hub gone")
		$(row "online-$what" "Sluice, sending to the hub")
		  rate of Sluice to RabbitMQ: $(ratio "$(of "offline-$what" rate)" "$(of "rabbitmq-$what" rate)") hub gone, $(ratio "$(of "online-$what" rate)" "$(of "rabbitmq-$what" rate)") sending on
	END
}

cat <<END
RabbitMQ $version, durable $QUEUE queue ($QUEUES), $("$SLUICE" --version | head -1)
$(machine)
AMQP 1.0 over TLS, $SIZE bytes, durable, unsettled, $ROUNDS rounds of $SECONDS_EACH s, medians; both settle what is on the disk

$(table many "$CLIENTS connections, window $WINDOW     messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg")

$(table one "1 connection, window $WINDOW       messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg")

1 connection, window 1         messages/s    p50 ms     p99 ms   p99.9 ms   CPU µs/msg
$(row rabbitmq-lone RabbitMQ)
$(row offline-lone "Sluice, hub gone")
$(row mqtt-lone "Sluice, hub gone, over MQTT")
END
