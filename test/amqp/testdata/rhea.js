// Sends messages of every kind to an AMQP server with rhea, receives them
// again, and prints one line for each step. Usage: rhea.js PORT
'use strict';
const assert = require('assert');
const rhea = require('rhea');
const t = rhea.types;

const ada = { host: '127.0.0.1', port: Number(process.argv[2]), username: 'ada', password: 'lovelace', reconnect: false, idle_time_out: 5000 };
const say = (...words) => console.log(words.join(' '));
const once = (who, event) => new Promise((resolve, reject) => {
  who.once(event, resolve);
  ['connection_error', 'disconnected', 'session_error'].forEach((e) => who.once(e, (c) => reject(new Error(`${e}: ${c.error || (c.connection && c.connection.error)}`))));
});

const bodies = {
  null: null, true: true, ubyte: t.wrap_ubyte(200), ushort: t.wrap_ushort(60000), uint: t.wrap_uint(4000000000), ulong: t.wrap_ulong(7),
  byte: t.wrap_byte(-100), short: t.wrap_short(-30000), int: t.wrap_int(-2000000000), long: t.wrap_long(-5), float: t.wrap_float(1.5), double: t.wrap_double(-2.25),
  timestamp: t.wrap_timestamp(1700000000123), uuid: t.wrap_uuid(Buffer.alloc(16, 7)), binary: t.wrap_binary(Buffer.from([0, 1, 255])),
  string: 'grüße', symbol: t.wrap_symbol('a:b'), list: t.wrap_list([1, 'x', [true]]), map: t.wrap_map({ a: 1, b: 'two' }),
  array: t.wrap_array([1, 2, 3], 0x71), symbols: t.wrap_symbolic_map({ k: 'v' }),
  data: rhea.message.data_section(Buffer.alloc(900 * 1024, 'x')), 'one byte': rhea.message.data_section(Buffer.from('1')), sequence: rhea.message.sequence_section([1, 'two', null]),
};

const plain = (v) => JSON.stringify(v, (k, x) => (x && x.type === 'Buffer' ? `${x.data.length} bytes` : x));

async function roundTrips(connection) {
  const sender = connection.open_sender('q');
  const receiver = connection.open_receiver({ source: 'q', credit_window: 0, autoaccept: false });
  await once(sender, 'sendable');
  for (const [name, body] of Object.entries(bodies)) {
    const accepted = once(sender, 'accepted');
    const got = once(receiver, 'message');
    sender.send({ message_id: name, correlation_id: t.wrap_ulong(9), subject: 's', application_properties: { a: 1, b: 'two', c: true, d: null },
      message_annotations: { 'x-opt-test': name }, durable: true, ttl: 60000, priority: 9, body });
    await accepted;
    receiver.add_credit(1);
    const { message, delivery } = await got;
    delivery.accept();
    assert.strictEqual(message.message_id, name);
    assert.strictEqual(message.message_annotations['x-opt-test'], name);
    assert.deepStrictEqual({ ...message.application_properties }, { a: 1, b: 'two', c: true, d: null });
    assert(message.durable && message.ttl === 60000 && message.priority === 9);
    const b = message.body;
    say(name, plain(b && b.content !== undefined ? b.content : b));
  }
  return { sender, receiver };
}

async function outcomes({ sender, receiver }) {
  const rejected = once(sender, 'rejected');
  sender.send({ subject: 'reject me', body: 'x' });
  say('rejected', (await rejected).delivery.remote_state.error.description);
  sender.send({ body: 'again' });
  await once(sender, 'accepted');
  for (const how of [(d) => d.release({ delivery_failed: false }), (d) => d.modified({ delivery_failed: true, undeliverable_here: false }), (d) => d.reject({ condition: 'x:y', description: 'no' })]) {
    const got = once(receiver, 'message');
    receiver.add_credit(1);
    how((await got).delivery);
  }
  const drained = once(receiver, 'receiver_drained');
  receiver.add_credit(10);
  receiver.drain_credit();
  await drained;
  say('drained');
}

async function links(connection) {
  const dynamic = connection.open_receiver({ source: { dynamic: true }, name: 'mine' });
  await once(dynamic, 'receiver_open');
  say('dynamic', dynamic.source.address);
  const refused = connection.open_sender('forbidden');
  const error = (await once(refused, 'sender_error')).sender.error;
  say('refused', error.condition, error.description);
  const closed = once(dynamic, 'receiver_close');
  dynamic.close();
  await closed;
}

async function main() {
  const connection = rhea.create_container().connect(ada);
  await once(connection, 'connection_open');
  const both = await roundTrips(connection);
  await outcomes(both);
  await links(connection);
  const closed = once(connection, 'connection_close');
  connection.close();
  await closed;
  say('closed');
}

main().catch((e) => { console.error(e); process.exit(1); });
