package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Setting is a setting of a file that is written: a string or an int.
type Setting struct {
	Key   string
	Value any
}

// Vector is a tensor of one dimension that is written as float32.
type Vector struct {
	Name string
	Data []float32
}

// alignment is that of the data in a file that is written.
const alignment = 32

// Write writes a file of version 3 that holds settings and vectors, in their order.
func Write(w io.Writer, settings []Setting, vectors []Vector) error {
	b := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(vectors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(settings)))
	text := func(s string) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, s := range settings {
		text(s.Key)
		switch v := s.Value.(type) {
		case string:
			b = binary.LittleEndian.AppendUint32(b, typeString)
			text(v)
		case int:
			if v < 0 || v > math.MaxUint32 {
				return fmt.Errorf("the setting %s is %d, which no 32 bits hold", s.Key, v)
			}
			b = binary.LittleEndian.AppendUint32(b, typeU32)
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		default:
			return fmt.Errorf("the setting %s is a %T, which is not written", s.Key, v)
		}
	}
	offset := 0
	for _, v := range vectors {
		text(v.Name)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint64(b, uint64(len(v.Data)))
		b = binary.LittleEndian.AppendUint32(b, 0) // float32
		b = binary.LittleEndian.AppendUint64(b, uint64(offset))
		offset += aligned(4 * len(v.Data))
	}
	b = append(b, make([]byte, aligned(len(b))-len(b))...)
	for _, v := range vectors {
		for _, x := range v.Data {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		b = append(b, make([]byte, aligned(4*len(v.Data))-4*len(v.Data))...)
	}
	_, err := w.Write(b)
	return err
}

// aligned is n, or the next multiple of the alignment.
func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }
