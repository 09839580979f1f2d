package cli

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/hub/code"
	"sluice/internal/service"
	"sluice/iot"
)

const jobLong = `Calls a method, or changes the twin, of all devices that meet a condition, at a hub,
Azure IoT Hub or a local one. What became of each device tells
    sluice query "SELECT * FROM devices.jobs WHERE jobId = 'ID'"

` + reachHelp

const jobExamples = `  sluice job create --target-condition "tags.site = 'hall 4'" --method reboot
  sluice job create night --target-condition '*' --tags '{"wave": 2}' --start 2026-05-04T22:00:00Z
  sluice job show night
  sluice job cancel night`

func jobCommand() *cobra.Command {
	r := &reach{}
	cmd := &cobra.Command{
		Use:     "job",
		Short:   "Call methods and change twins of many devices",
		Long:    jobLong,
		Example: jobExamples,
	}
	r.add(cmd.PersistentFlags())
	cmd.AddCommand(jobCreateCommand(r), jobListCommand(r), jobShowCommand(r), jobCancelCommand(r))
	return cmd
}

type jobFlags struct {
	*reach
	condition, method, payload, tags, desired, start string
	timeout, connect, longest                        time.Duration
}

func jobCreateCommand(r *reach) *cobra.Command {
	f := &jobFlags{reach: r}
	cmd := &cobra.Command{
		Use:   "create [ID]",
		Short: "Make a job, which begins at once or later",
		Long: `Makes a job, with an id of its own making if none is given, and prints the id. It
does not wait for the job to end; "sluice job show ID" shows how far it is.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := strings.ToLower(rand.Text()[:12])
			if len(args) == 1 {
				id = args[0]
			}
			j, err := f.job(cmd, id)
			if err != nil {
				return err
			}
			return withClient(r, func(c *service.Client) error {
				made, err := c.CreateJob(cmd.Context(), j)
				if err != nil {
					return jobHint(err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), made.JobID)
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.condition, "target-condition", "", "`condition` on twins in the query language; * is all devices")
	flags.StringVar(&f.method, "method", "", "call this direct `method`")
	flags.StringVar(&f.payload, "payload", "", "`JSON` for the method")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to wait for the answer of each device")
	flags.DurationVar(&f.connect, "connect-timeout", 0, "how long to wait for each device to connect")
	flags.StringVar(&f.tags, "tags", "", "merge this `JSON` object into the tags")
	flags.StringVar(&f.desired, "desired", "", "merge this `JSON` object into the desired properties")
	flags.StringVar(&f.start, "start", "", "begin at this `time`, such as 2026-01-02T15:04:05Z (default: now)")
	flags.DurationVar(&f.longest, "max-time", time.Hour, "give up after this long, at most 48h")
	return cmd
}

// job is what the flags say.
func (f *jobFlags) job(cmd *cobra.Command, id string) (j service.Job, err error) {
	j = service.Job{JobID: id, QueryCondition: f.condition, MaxExecutionTime: int64(f.longest / time.Second)}
	if f.condition == "" {
		return j, usagef("--target-condition is missing; '*' is for all devices")
	}
	if f.start != "" {
		at, err := time.Parse(time.RFC3339, f.start)
		if err != nil {
			return j, usagef("--start: %q is not a time such as 2026-01-02T15:04:05Z", f.start)
		}
		j.StartTime = service.Time{Time: at}
	}
	onTwin := f.tags != "" || f.desired != ""
	if onTwin == (f.method != "") {
		return j, usagef("a job is either --method, or --tags and --desired")
	}
	if !onTwin {
		j.Type = service.JobMethod
		j.Method = &service.MethodOfJob{Name: f.method, ResponseTimeout: int(f.timeout / time.Second), ConnectTimeout: int(f.connect / time.Second)}
		j.Method.Payload, err = jsonArg(cmd, "payload", f.payload)
		return j, err
	}
	j.Type = service.JobTwin
	change, err := (&changeFlags{tags: f.tags, desired: f.desired}).change(cmd)
	if err == nil {
		// The service wants an entity tag; * is any.
		j.UpdateTwin, err = json.Marshal(struct {
			ETag string `json:"etag"`
			service.TwinChange
		}{"*", change})
	}
	return j, err
}

func jobListCommand(r *reach) *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withClient(r, func(c *service.Client) error {
				list, err := c.Jobs(cmd.Context(), "", status)
				if err != nil {
					return jobHint(err)
				}
				t := table{out: cmd.OutOrStdout(), header: []string{"ID", "TYPE", "STATUS", "START", "DEVICES", "SUCCEEDED", "FAILED"}}
				for i := range list {
					n := service.JobStatistics{}
					if list[i].Statistics != nil {
						n = *list[i].Statistics
					}
					t.add(list[i].JobID, list[i].Type, list[i].Status, when(list[i].StartTime.Time),
						strconv.Itoa(n.Devices), strconv.Itoa(n.Succeeded), strconv.Itoa(n.Failed))
				}
				return t.print()
			})
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only those of this `status`, such as running")
	return cmd
}

func jobShowCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show how far a job is",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(r, func(c *service.Client) error {
				j, err := c.Job(cmd.Context(), args[0])
				if err != nil {
					return jobHint(err)
				}
				return printJSON(cmd.OutOrStdout(), j)
			})
		},
	}
}

func jobCancelCommand(r *reach) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "End a job",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withClient(r, func(c *service.Client) error {
				j, err := c.CancelJob(cmd.Context(), args[0])
				if err != nil {
					return jobHint(err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "job %s is %s\n", j.JobID, j.Status)
				return nil
			})
		},
	}
}

func jobHint(err error) error {
	if errors.Is(err, code.JobNotFound) {
		return withHint(err, "\"sluice job list\" lists the jobs of the hub")
	}
	return serviceHint(err, iot.Identity{})
}
