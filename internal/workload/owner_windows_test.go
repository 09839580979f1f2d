package workload

import "os"

func ownerOf(os.FileInfo) int { return -1 }
