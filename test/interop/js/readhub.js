// Reads events with Event Hubs' SDK and prints each as a line of JSON, until it is
// killed or a number of them has come.
//
//   node readhub.js CONNECTION_STRING POSITION [COUNT [OWNER_LEVEL]]
//
// With WEBSOCKET in the environment, it does so over a WebSocket. POSITION is JSON: {"offset":"-1"}, {"offset":"@latest"}, {"sequenceNumber":3}, …
const { EventHubConsumerClient } = require('@azure/event-hubs');

const [connectionString, position, count, level] = process.argv.slice(2);
let left = Number(count) || Infinity;
const start = JSON.parse(position);
if (start.enqueuedOn) start.enqueuedOn = new Date(start.enqueuedOn);

async function main() {
  const options = { retryOptions: { maxRetries: 1 } };
  if (process.env.WEBSOCKET) options.webSocketOptions = { webSocket: require('ws') };
  const client = new EventHubConsumerClient('$Default', connectionString, options);
  const hub = await client.getEventHubProperties();
  const partitions = await Promise.all(hub.partitionIds.map((id) => client.getPartitionProperties(id)));
  console.log(JSON.stringify({ hub, partitions }));
  const ended = new Promise((resolve) => {
    const options = { startPosition: start, maxWaitTimeInSeconds: 1, trackLastEnqueuedEventProperties: true };
    if (level) options.ownerLevel = Number(level);
    for (const id of hub.partitionIds) {
      client.subscribe(id, {
        processEvents: async (events, context) => {
          for (const e of events) {
            console.log(JSON.stringify({ partition: context.partitionId, last: context.lastEnqueuedEventProperties, event: e }));
            if (--left === 0) resolve();
          }
          if (events.length === 0) console.log(JSON.stringify({ waiting: context.partitionId }));
        },
        processError: async (err) => console.log(JSON.stringify({ error: err.code || err.name, message: err.message })),
        processClose: async (reason, context) => console.log(JSON.stringify({ closed: context.partitionId, reason })),
      }, options);
    }
  });
  await ended;
  await client.close();
}

main().then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });
