package rheo

import "testing"

// What is counted fits below the heap's limit with room for garbage, and the
// largest record and request have room in each share, with every budget.
func TestShareMemory(t *testing.T) {
	for budget := int64(MemoryBytesMin); budget <= 64<<30; budget += budget / 7 {
		s, err := shareMemory(budget)
		if err != nil {
			t.Fatal(err)
		}
		counted, limit := s.log+s.requests+s.answers+s.tables+s.metrics+s.logs+s.objects+s.functions+s.mappings, HeapLimit(budget)
		if counted > limit-limit/10 {
			t.Errorf("budget %d: %d bytes are counted below a limit of %d", budget, counted, limit)
		}
		if limit+codeBytes > budget+budget/10 {
			t.Errorf("budget %d: a heap limit of %d leaves too little for the program", budget, limit)
		}
		if s.log/4 < 10<<20+500*64 || s.requests < 2*16<<20 || s.answers < 25<<20 {
			t.Errorf("budget %d: the shares %+v are too small", budget, s)
		}
	}
}
