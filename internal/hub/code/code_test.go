package code

import "testing"

func TestAPIVersionsOfAnyAge(t *testing.T) {
	for v, good := range map[string]bool{
		"2021-04-12": true, "2018-01-16": true, "2017-11-08-preview": true, "2031-01-01": true,
		"": false, "2021": false, "2021-04-31": false, "latest": false, "1999-12-31": false, "2021-04-12-preview-preview": false, "2021-04-12 ": false,
	} {
		err := CheckAPIVersion(v)
		if (err == nil) != good || err != nil && Of(err) != InvalidProtocolVersion {
			t.Errorf("%q: %v", v, err)
		}
	}
}
