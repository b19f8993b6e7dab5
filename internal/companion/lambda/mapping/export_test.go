package mapping

// Held is how much of the memory budget is in use.
func (e *Engine) Held() int64 {
	e.budget.mu.Lock()
	defer e.budget.mu.Unlock()
	return e.limits.MemoryBytes - e.budget.free
}

// SameLane says whether two partition keys go to the same of n lanes.
func SameLane(a, b string, n int) bool { return laneOf(a, n) == laneOf(b, n) }

// LaneOf is which of n lanes a partition key goes to.
func LaneOf(key string, n int) int { return laneOf(key, n) }
