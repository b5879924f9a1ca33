package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Where the controller manager's host-path provisioner makes the folder of each volume.
const volumeFolder = "/tmp/hostpath_pv"

// How often new volumes are looked for: well within the time that a pod takes to start.
const volumePoll = 50 * time.Millisecond

// openVolumes lets every user write to the volumes, for as long as the process runs. The provisioner makes their folders
// for root alone, and a kubelet does not apply `fsGroup` to volumes of this kind, so that without this no pod could use one
// that does not run as root.
func openVolumes() {
	for range time.Tick(volumePoll) {
		folders, err := os.ReadDir(volumeFolder)
		if err != nil {
			continue // The folder comes with the first volume.
		}
		for _, folder := range folders {
			info, err := folder.Info()
			if err == nil && folder.IsDir() && info.Mode().Perm() != fs.ModePerm {
				// A volume that is just being deleted needs no mode.
				_ = os.Chmod(filepath.Join(volumeFolder, folder.Name()), fs.ModePerm)
			}
		}
	}
}
