package cloudwatch

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/rheostream/rheo/internal/keys"
	"github.com/rheostream/rheo/internal/statelog"
)

// A put is what one command does: data of one namespace of one tenant.
//
//	command  version u8 = 1 | id 16 bytes | key epoch u32 | body, sealed
//	body     tenant | namespace | number uvarint | number x datum
//	datum    name | number of dimensions uvarint | number x (name | value) | unit u8 |
//	         tier u8 | time in seconds varint | summary
type put struct {
	tenant    string // key of account and region
	namespace string
	data      []datum
}

type datum struct {
	name       string
	dimensions []dimension // in the order of their names
	unit       byte
	tier       byte // highResolution or standard
	at         int64
	summary    summary
}

func (p *put) key(d *datum) string {
	return metricKey(p.tenant, p.namespace, d.name, d.dimensions) + keyUnit + string(rune(d.unit))
}

const commandVersion = 1

// commandBytesMax leaves room for sealing below the log's 10 MiB.
const commandBytesMax = 10<<20 - 4<<10

var errTooLarge = errors.New("a command of more than 10 MiB")

func (p *put) encode(id [16]byte, sealer keys.Sealer) ([]byte, error) {
	body := appendText(appendText(nil, p.tenant), p.namespace)
	body = binary.AppendUvarint(body, uint64(len(p.data)))
	for i := range p.data {
		d := &p.data[i]
		body = appendText(body, d.name)
		body = binary.AppendUvarint(body, uint64(len(d.dimensions)))
		for _, dim := range d.dimensions {
			body = appendText(appendText(body, dim.name), dim.value)
		}
		body = binary.AppendVarint(append(body, d.unit, d.tier), d.at)
		body = appendSummary(body, &d.summary)
	}
	if len(body) > commandBytesMax {
		return nil, errTooLarge
	}
	sealed, epoch, err := sealer.Seal(sealCommand, body)
	if err != nil {
		return nil, fmt.Errorf("cannot seal: %w", err)
	}
	b := make([]byte, 0, 21+len(sealed))
	b = append(append(b, commandVersion), id[:]...)
	return append(binary.LittleEndian.AppendUint32(b, epoch), sealed...), nil
}

// parseCommand reads a command. What it returns does not alias b.
func parseCommand(b []byte, sealer keys.Sealer) (id [16]byte, p *put, err error) {
	if len(b) < 21 {
		return id, nil, fmt.Errorf("a command of %d bytes", len(b))
	}
	if b[0] != commandVersion {
		return id, nil, fmt.Errorf("version %d: %w", b[0], statelog.ErrNewer)
	}
	copy(id[:], b[1:17])
	body, err := sealer.Open(sealCommand, b[21:], binary.LittleEndian.Uint32(b[17:]))
	if err != nil {
		return id, nil, fmt.Errorf("cannot open what was sealed: %w", err)
	}
	r := reader{rest: body}
	p = &put{tenant: r.text(), namespace: r.text()}
	for range r.count() {
		d := datum{name: r.text()}
		for range r.count() {
			d.dimensions = append(d.dimensions, dimension{r.text(), r.text()})
		}
		d.unit, d.tier = r.byte(), r.byte()
		d.at, d.summary = r.varint(), r.summary()
		if r.failed {
			break
		}
		p.data = append(p.data, d)
	}
	if r.failed || len(r.rest) > 0 {
		return id, nil, errDamaged
	}
	for i := range p.data {
		if int(p.data[i].unit) >= len(units) || p.data[i].tier > standard {
			return id, nil, errDamaged
		}
	}
	return id, p, nil
}
