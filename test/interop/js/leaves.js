// Looks at leaves with the official service SDK.
// usage: leaves.js SERVICE_CONNECTION_STRING show ID…
//        leaves.js SERVICE_CONNECTION_STRING keys EDGE MODULE
//        leaves.js SERVICE_CONNECTION_STRING call ID METHOD PAYLOAD
// Prints one line of JSON.
'use strict';
const { Client, Registry } = require('azure-iothub');

async function main([connectionString, what, ...rest]) {
  const registry = Registry.fromConnectionString(connectionString);
  switch (what) {
    case 'show': {
      const all = {};
      for (const id of rest) {
        try {
          const d = (await registry.get(id)).responseBody;
          all[id] = { scope: d.deviceScope, parents: d.parentScopes, status: d.status, keys: d.authentication.symmetricKey };
        } catch (err) {
          if (err.name !== 'DeviceNotFoundError') throw err;
          all[id] = null;
        }
      }
      return all;
    }
    case 'keys':
      return (await registry.getModule(rest[0], rest[1])).responseBody.authentication.symmetricKey;
    case 'call': {
      const [id, methodName, payload] = rest;
      const answer = await Client.fromConnectionString(connectionString)
        .invokeDeviceMethod(id, { methodName, payload: JSON.parse(payload), responseTimeoutInSeconds: 30, connectTimeoutInSeconds: 30 });
      return (answer.result || answer);
    }
    default:
      throw new Error(`no such task: ${what}`);
  }
}

main(process.argv.slice(2)).then((result) => { console.log(JSON.stringify(result)); process.exit(0); }, (err) => {
  console.error(err.message, err.responseBody || '');
  process.exit(1);
});
