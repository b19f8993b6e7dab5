package logs

import (
	"encoding/binary"
	"fmt"

	"github.com/rheostream/rheo/internal/keys"
)

// An event is one line of a log stream.
type event struct {
	at      int64 // ms
	message string
}

// eventOverhead is what an event counts for beside its message, as in AWS.
const eventOverhead = 26

// A record of a group's log is what one PutLogEvents put into a stream. What a
// search must know to pass it over stands in front of what is sealed.
//
//	record  version u8 = 1 | key epoch u32 | stream's number uvarint | least time varint |
//	        greatest time, less the least, uvarint | bytes of messages uvarint | body, sealed
//	body    number uvarint | number x (time, less the one before, varint | message)
type record struct {
	stream      uint64
	least, most int64 // times of its events, ms
	bytes       int64 // of messages
	epoch       uint32
	sealed      []byte
}

const recordVersion = 1

// encodeRecord makes the record of at least one event, in order of time or not.
func encodeRecord(stream uint64, events []event, sealer keys.Sealer) ([]byte, error) {
	least, most, bytes := events[0].at, events[0].at, 0
	for _, e := range events {
		least, most = min(least, e.at), max(most, e.at)
		bytes += len(e.message)
	}
	body := make([]byte, 0, bytes+8*len(events)+16)
	body = binary.AppendUvarint(body, uint64(len(events)))
	last := int64(0)
	for _, e := range events {
		body = appendText(binary.AppendVarint(body, e.at-last), e.message)
		last = e.at
	}
	sealed, epoch, err := sealer.Seal(sealEvents, body)
	if err != nil {
		return nil, fmt.Errorf("cannot seal events: %w", err)
	}
	b := make([]byte, 0, len(sealed)+40)
	b = binary.LittleEndian.AppendUint32(append(b, recordVersion), epoch)
	b = binary.AppendVarint(binary.AppendUvarint(b, stream), least)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(most-least)), uint64(bytes))
	return append(b, sealed...), nil
}

// parseRecord reads what stands in front. It aliases b.
func parseRecord(b []byte) (record, error) {
	r := reader{rest: b}
	if v := r.byte(); v != recordVersion && !r.failed {
		return record{}, fmt.Errorf("a record of version %d: %w", v, errNewer)
	}
	rec := record{epoch: r.uint32(), stream: r.uvarint(), least: r.varint()}
	rec.most = rec.least + int64(r.uvarint())
	rec.bytes = int64(r.uvarint())
	rec.sealed = r.rest
	if r.failed {
		return record{}, errDamaged
	}
	return rec, nil
}

// events calls yield with each event and its place in the record until it returns
// false. Messages alias what is read.
func (rec *record) events(sealer keys.Sealer, yield func(place uint32, at int64, message []byte) bool) error {
	body, err := sealer.Open(sealEvents, rec.sealed, rec.epoch)
	if err != nil {
		return fmt.Errorf("cannot open what was sealed: %w", err)
	}
	r := reader{rest: body}
	at := int64(0)
	for i := range r.count() {
		at += r.varint()
		message := r.bytes()
		if r.failed {
			return errDamaged
		}
		if !yield(uint32(i), at, message) {
			return nil
		}
	}
	if r.failed || len(r.rest) > 0 {
		return errDamaged
	}
	return nil
}
