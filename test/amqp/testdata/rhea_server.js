// A server made with rhea, for our client: it accepts what it gets and sends
// it back on every receiving link. It prints its port.
'use strict';
const rhea = require('rhea');
const container = rhea.create_container();
const waiting = [];
const receivers = [];

function pump() {
  for (const r of receivers) {
    while (r.sendable() && waiting.length) r.send(waiting.shift());
  }
}

container.sasl_server_mechanisms.enable_plain((user, password) => user === 'ada' && password === 'lovelace');
container.on('receiver_open', ({ receiver }) => { receiver.set_target(receiver.target); });
container.on('sender_open', ({ sender }) => { sender.set_source(sender.source); receivers.push(sender); });
container.on('message', ({ message, delivery }) => {
  if (message.subject === 'reject me') { delivery.reject({ condition: 'x:no', description: 'as you wish' }); return; }
  delivery.accept();
  waiting.push(message);
  pump();
});
container.on('sendable', pump);
container.options.receiver_options = { autoaccept: false, credit_window: 20 };
const server = container.listen({ port: 0, host: '127.0.0.1', receiver_options: { autoaccept: false, credit_window: 20 } });
server.on('listening', () => console.log(server.address().port));
container.on('disconnected', () => {});
