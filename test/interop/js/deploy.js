// Deploys modules with the official service SDK, and watches them.
// usage: deploy.js SERVICE_CONNECTION_STRING DEVICE apply CONTENT_FILE
//        deploy.js SERVICE_CONNECTION_STRING DEVICE reported MODULE
//        deploy.js SERVICE_CONNECTION_STRING DEVICE call MODULE METHOD PAYLOAD
// Prints one line of JSON.
'use strict';
const fs = require('fs');
const { Client, Registry } = require('azure-iothub');

async function main([connectionString, device, what, ...rest]) {
  const registry = Registry.fromConnectionString(connectionString);
  const client = Client.fromConnectionString(connectionString);
  switch (what) {
    case 'apply':
      await registry.applyConfigurationContentOnDevice(device, JSON.parse(fs.readFileSync(rest[0], 'utf8')));
      return {};
    case 'reported':
      return (await registry.getModuleTwin(device, rest[0])).responseBody.properties.reported;
    case 'call': {
      const [module, methodName, payload] = rest;
      const answer = await client.invokeDeviceMethod(device, module, { methodName, payload: JSON.parse(payload), responseTimeoutInSeconds: 30 });
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
