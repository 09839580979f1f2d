package rest

import (
	"net/http"

	"sluice/internal/hub/code"
	"sluice/internal/hub/storage"
	"sluice/internal/service"
	"sluice/iot"
)

// maxJob bounds the body of a job, in bytes.
const maxJob = 512 << 10

func (a *api) jobRoutes(h Hub) []route {
	if _, alone := h.(empty); alone || h.Jobs() == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, path: "/jobs/v2/query", right: storage.ServiceConnect, handle: listJobs},
		{method: http.MethodGet, path: "/jobs/v2/{job}", right: storage.ServiceConnect, handle: getJob},
		{method: http.MethodPut, path: "/jobs/v2/{job}", right: storage.ServiceConnect, handle: putJob},
		{method: http.MethodPost, path: "/jobs/v2/{job}/cancel", right: storage.ServiceConnect, handle: cancelJob},
	}
}

// maxJobPage is how many jobs one answer lists.
const maxJobPage = 100

// listJobs lists jobs, of one type or in one state if that is asked, in pages.
func listJobs(c *call) (answer, error) {
	size := c.pageSize()
	if size <= 0 || size > maxJobPage {
		size = maxJobPage
	}
	q := c.r.URL.Query()
	list := c.Hub.Jobs().List(q.Get("jobType"), q.Get("jobStatus"), c.r.Header.Get(continuationHeader), size)
	header := http.Header{}
	header.Set(itemTypeHeader, "JobResponse")
	if len(list) == size {
		header.Set(continuationHeader, list[size-1].JobID)
	}
	return answer{body: list, header: header}, nil
}

func getJob(c *call) (answer, error) {
	j, err := c.Hub.Jobs().Get(c.vars["job"])
	return answer{body: j}, err
}

// putJob makes a job. It cannot be changed.
func putJob(c *call) (answer, error) {
	var want service.Job
	if err := c.read(maxJob, &want); err != nil {
		return answer{}, err
	}
	switch {
	case want.JobID == "":
		want.JobID = c.vars["job"]
	case want.JobID != c.vars["job"]:
		return answer{}, code.Errorf(code.ArgumentInvalid, "job", iot.Identity{}, "the body is about another job than the path")
	}
	if want.Method != nil && len(want.Method.Payload) > maxPayload {
		return answer{}, code.Errorf(code.MessageTooLarge, "job", iot.Identity{}, "the payload has %d bytes; the limit is %d", len(want.Method.Payload), maxPayload)
	}
	j, err := c.Hub.Jobs().Create(want)
	return answer{body: j}, err
}

func cancelJob(c *call) (answer, error) {
	j, err := c.Hub.Jobs().Cancel(c.vars["job"])
	return answer{body: j}, err
}
