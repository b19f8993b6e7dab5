package rheo

import "fmt"

// How the memory budget (Config.MemoryBytes) is spent. The resident set of the
// process stays below it plus a tenth:
//
//	budget              1 GiB   256 MiB   160 MiB
//	log                   256        64        41
//	requests              223        53        32
//	answers               223        53        32
//	DynamoDB's tables      56        14         9
//	CloudWatch's metrics   16         4         2
//	logs                    8         2         1
//	S3's objects           54         6         0.5
//	functions              18         2         0.2
//	mappings               72         8         0
//	the rest               96        48        42
//
// The log's share holds records on their way to segments. Requests and answers
// have shares of their own, so that readers who are slow to take their answers do
// not keep writers out. The tables are DynamoDB's, which are in memory as a whole;
// the metrics CloudWatch's, of which the names are, and the data of an hour or less;
// the logs those of CloudWatch Logs, of which the names and indexes are; the objects S3's,
// of which the keys and headers are: some 3,000 a MiB.
// The functions are Lambda's configurations, and the checkpoints of its event source
// mappings as much again; the mappings what these have read and functions have
// not taken yet. They cannot do with less than 32 MiB: what their share lacks comes
// out of the rest, and only where there is a mapping.
// The rest is for what is not counted: the program itself,
// its indexes, connections, and garbage that the collector has not got round to.
const (
	// MemoryBytesMin is the least budget. With less, one request of 16 MiB, or the
	// largest record, would have no room where it must be in memory as a whole.
	MemoryBytesMin = 160 << 20

	memoryDefault = 1 << 30
	// logMemoryMin: the log takes a quarter of its memory at once, which has to be
	// a PutRecords of 10 MiB with its frames.
	logMemoryMin = 41 << 20
	// objectMemoryMin is what is left for the index of objects with the least budget,
	// and enough for some 1,500.
	objectMemoryMin = 512 << 10
	// restBytes and a sixteenth of the budget are the rest.
	restBytes = 32 << 20
	// codeBytes are resident beside the Go heap (mapped pages of the program), or
	// are how far the heap grows past its limit while a collection is under way.
	codeBytes = 44 << 20
)

// shares of a memory budget.
type shares struct {
	log, requests, answers, tables, metrics, logs, objects, functions, mappings int64
}

func shareMemory(budget int64) (s shares, err error) {
	if budget < MemoryBytesMin {
		return s, fmt.Errorf("a memory budget of %d bytes is too small: records of 10 MiB need at least %d MiB", budget, MemoryBytesMin>>20)
	}
	s.log = max(budget/4, logMemoryMin)
	above := budget - MemoryBytesMin
	s.tables, s.metrics, s.logs = budget/16-budget/128-256<<10, budget/64, budget/128
	s.objects = objectMemoryMin + above/16
	s.functions, s.mappings = 256<<10+above/48, above/12
	s.requests = (budget - s.log - s.tables - s.metrics - s.logs - s.objects - s.functions - s.mappings - restBytes - budget/16) / 2
	s.answers = s.requests
	return s, nil
}

// HeapLimit is what the memory limit of the Go runtime has to be for a budget. A
// program that does nothing else should set it.
func HeapLimit(budget int64) int64 { return budget + budget/10 - codeBytes }
