package logs

// What is sealed, by the purpose that its Sealer is told.
const (
	sealCommand  = "logs/command"
	sealSnapshot = "logs/snapshot"
	sealIndex    = "logs/index"
	sealEvents   = "logs/events"
)
