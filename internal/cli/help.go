package cli

const rootLong = `Sluice is an IoT Edge gateway and a local IoT Hub in one program. Devices that
speak to Azure IoT Hub speak to it unchanged: it keeps each message safe until
the hub has it.`

const rootExamples = `  See it work, with no account and no certificate:
    sluice demo

  Run a local hub, and a gateway in front of it:
    sluice hub
    sluice edge --config config.toml

  Make the certificates of a site:
    sluice certs root
    sluice certs edge --hostname gateway.local

  Register a gateway and a device behind it, and print what the device needs:
    sluice device create site-1 --edge
    sluice device create pump-7 --parent site-1
    sluice device connection-string pump-7 --gateway gateway.local

  Watch what arrives:
    sluice monitor --device pump-7

  Measure a gateway, a hub or any MQTT broker:
    sluice bench --help

Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused by the hub (not found,
not allowed, in conflict), 4 could not connect, 130 interrupted.`

// usageTemplate is cobra's with the examples after the commands, so that they
// stand at the end, where the eye is, and with the words in our order.
const usageTemplate = `Usage:{{if and .Runnable (not .HasAvailableSubCommands)}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND [flags]{{end}}{{if .Aliases}}

Aliases:
  {{.NameAndAliases}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{$group.Title}}{{range $cmds}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if not .AllChildCommandsHaveGroup}}

Other:{{range $cmds}}{{if and (eq .GroupID "") .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of {{.Parent.CommandPath}}:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}
`
