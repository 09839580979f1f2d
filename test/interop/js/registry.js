// Drives the registry of a hub with the official service SDK.
// usage: registry.js SERVICE_CONNECTION_STRING PORT
// Prints one line of JSON per step: {"step": name, "value": …} or
// {"step": name, "error": class, "text": message}.
'use strict';
const { Registry } = require('azure-iothub');

async function main([connectionString, port]) {
  const registry = Registry.fromConnectionString(connectionString);
  // The SDK knows no ports but 443. Its agent does.
  registry._restApiClient._http._options.http.agent.defaultPort = Number(port);

  async function step(name, run) {
    try {
      console.log(JSON.stringify({ step: name, value: await run() }));
    } catch (err) {
      console.log(JSON.stringify({ step: name, error: err.name, text: err.message }));
    }
  }
  const body = async (call) => (await call).responseBody;
  const key = Buffer.alloc(32, 7).toString('base64');

  await step('create', async () => {
    const d = await body(registry.create({ deviceId: "pump+7'" }));
    return [d.deviceId, d.status, d.connectionState, d.authentication.type, d.authentication.symmetricKey.primaryKey.length];
  });
  await step('create again', () => registry.create({ deviceId: "pump+7'" }));
  await step('create with key', async () => {
    const d = await body(registry.create({
      deviceId: 'meter', status: 'disabled', statusReason: 'spare',
      authentication: { symmetricKey: { primaryKey: key, secondaryKey: key } },
    }));
    return [d.status, d.statusReason, d.authentication.symmetricKey.primaryKey === key];
  });
  await step('create x509', async () => {
    const d = await body(registry.create({
      deviceId: 'valve', authentication: { x509Thumbprint: { primaryThumbprint: 'AB'.repeat(20) } },
    }));
    return [d.authentication.type, d.authentication.x509Thumbprint.primaryThumbprint, d.authentication.symmetricKey.primaryKey];
  });
  await step('update what was got', async () => {
    const got = await body(registry.get('meter'));
    got.status = 'enabled';
    const d = await body(registry.update(got));
    return [d.status, d.authentication.symmetricKey.primaryKey === key, d.etag !== got.etag, d.generationId === got.generationId];
  });
  await step('get nobody', () => registry.get('nobody'));
  await step('update nobody', () => registry.update({ deviceId: 'nobody' }));
  await step('edge and leaf', async () => {
    const edge = await body(registry.create({ deviceId: 'site', capabilities: { iotEdge: true } }));
    const leaf = await body(registry.create({ deviceId: 'leaf', deviceScope: edge.deviceScope }));
    return [edge.capabilities.iotEdge, edge.deviceScope.startsWith('ms-azure-iot-edge://site-'), leaf.parentScopes[0] === edge.deviceScope];
  });
  await step('list', async () => (await body(registry.list())).map((d) => d.deviceId));

  await step('add module', async () => {
    const m = await body(registry.addModule({ deviceId: 'site', moduleId: 'filter', managedBy: 'me' }));
    return [m.deviceId, m.moduleId, m.managedBy, m.authentication.type];
  });
  await step('add module again', () => registry.addModule({ deviceId: 'site', moduleId: 'filter' }));
  await step('modules', async () => (await body(registry.getModulesOnDevice('site'))).map((m) => m.moduleId));
  await step('update module, stale', async () => {
    const m = await body(registry.getModule('site', 'filter'));
    await registry.updateModule({ ...m, managedBy: 'you' });
    return registry.updateModule({ ...m, managedBy: 'them' });
  });
  await step('update module, forced', async () => (
    await body(registry.updateModule({ deviceId: 'site', moduleId: 'filter', managedBy: 'them' }, true))).managedBy);
  // The SDK takes an etag here with a callback only.
  await step('remove module, stale', () => new Promise((done, fail) => {
    registry.removeModule({ deviceId: 'site', moduleId: 'filter', etag: 'c3RhbGU=' }, (err) => (err ? fail(err) : done()));
  }));
  await step('remove module', async () => (await registry.removeModule('site', 'filter')).httpResponse.statusCode);
  await step('get module', () => registry.getModule('site', 'filter'));

  const many = Array.from({ length: 100 }, (_, i) => ({ deviceId: 'many-' + i }));
  await step('add 100', async () => body(registry.addDevices(many)));
  await step('add 100 again', async () => {
    try {
      return await registry.addDevices(many);
    } catch (err) {
      const answer = JSON.parse(err.responseBody);
      return [err.name, answer.isSuccessful, answer.errors.length, answer.errors[0].deviceId, answer.errors[0].errorCode];
    }
  });
  await step('statistics', async () => body(registry.getRegistryStatistics()));
  await step('update 2 of 100', async () => body(registry.updateDevices([
    { deviceId: 'many-0', status: 'disabled' }, { deviceId: 'many-1', status: 'disabled' }], true)));
  await step('update one, stale', () => registry.updateDevices([{ deviceId: 'many-0', etag: 'c3RhbGU=' }], false)
    .catch((err) => JSON.parse(err.responseBody).errors[0].errorCode));
  await step('statistics, two disabled', async () => body(registry.getRegistryStatistics()));
  await step('remove 100', async () => body(registry.removeDevices(many, true)));
  await step('delete', async () => (await registry.delete('site')).httpResponse.statusCode);
  await step('delete again', () => registry.delete('site'));
  await step('statistics at the end', async () => body(registry.getRegistryStatistics()));

  const stranger = Registry.fromConnectionString(connectionString.replace(/SharedAccessKey=.*/, 'SharedAccessKey=' + key));
  stranger._restApiClient._http._options.http.agent.defaultPort = Number(port);
  await step('wrong key', () => stranger.get('meter'));
}

main(process.argv.slice(2)).then(() => process.exit(0), (err) => {
  console.error(err);
  process.exit(1);
});
