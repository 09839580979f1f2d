package twins

import (
	"strconv"
	"time"
)

// Born is when the identity of this generation was made: a generation id is that
// time, in ticks of 100 ns since the year 1, as IoT Hub's are. It is the zero time
// for one that is not.
func Born(generation string) time.Time {
	const unixEpoch = 621_355_968_000_000_000 // in ticks
	ticks, err := strconv.ParseInt(generation, 10, 64)
	if err != nil || ticks < unixEpoch {
		return time.Time{}
	}
	ticks -= unixEpoch
	return time.Unix(ticks/1e7, ticks%1e7*100).UTC()
}
