// Reads the folder of a log, and proofs from its server, with golang.org/x/mod/sumdb: an implementation
// that is not ours. Ends with an error at the first thing that does not hold.
//
//	reader FOLDER INCLUSION CONSISTENCY
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion is the answer about a record.
type Inclusion struct {
	Seq      int64    `json:"seq"`
	LeafHash string   `json:"leaf_hash"`
	Size     int64    `json:"size"`
	Root     string   `json:"root"`
	Proof    []string `json:"proof"`
}

// Consistency is the answer about an earlier tree.
type Consistency struct {
	From     int64    `json:"from"`
	FromRoot string   `json:"from_root"`
	To       int64    `json:"to"`
	ToRoot   string   `json:"to_root"`
	Proof    []string `json:"proof"`
}

// folder gives tiles from files. The layouts differ in the height, which is always 8 here.
type folder string

func (f folder) Height() int { return 8 }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := os.ReadFile(filepath.Join(string(f), name))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

// checkpoint opens the signed note with every key of the folder.
func (f folder) checkpoint() (tlog.Tree, error) {
	var tree tlog.Tree
	keys, err := os.ReadFile(filepath.Join(string(f), "key"))
	if err != nil {
		return tree, err
	}
	var verifiers []note.Verifier
	for _, key := range strings.Fields(string(keys)) {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return tree, err
		}
		verifiers = append(verifiers, verifier)
	}
	signed, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifiers[0].Name() {
		return tree, fmt.Errorf("not the checkpoint of the log: %q", opened.Text)
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// records gives each record of the tree, in order.
func (f folder) records(size int64, take func(int64, []byte) error) error {
	for first := int64(0); first < size; first += 256 {
		width := min(size-first, 256)
		tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}
		name := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		rest, err := os.ReadFile(filepath.Join(string(f), name))
		if err != nil {
			return err
		}
		for at := first; at < first+width; at++ {
			if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
				return fmt.Errorf("%s is too short", name)
			}
			end := 2 + int(binary.BigEndian.Uint16(rest))
			if err := take(at, rest[2:end]); err != nil {
				return err
			}
			rest = rest[end:]
		}
		if len(rest) > 0 {
			return fmt.Errorf("%s is too long", name)
		}
	}
	return nil
}

// hashes reads a proof in base64.
func hashes(texts []string) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, text := range texts {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		all = append(all, hash)
	}
	return all, nil
}

func load(path string, into any) error {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(bytes, into)
}

// checkProofs holds what the server answers against the tree of the folder.
func checkProofs(tree tlog.Tree, leaves []tlog.Hash, inclusionPath, consistencyPath string) error {
	var inclusion Inclusion
	var consistency Consistency
	if err := errors.Join(load(inclusionPath, &inclusion), load(consistencyPath, &consistency)); err != nil {
		return err
	}
	proof, err := hashes(inclusion.Proof)
	if err != nil {
		return err
	}
	leaf := leaves[inclusion.Seq-1]
	if inclusion.Size != tree.N || inclusion.LeafHash != base64.StdEncoding.EncodeToString(leaf[:]) {
		return fmt.Errorf("the proof is of something else: %v", inclusion)
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, inclusion.Seq-1, leaf); err != nil {
		return fmt.Errorf("record %d: %w", inclusion.Seq, err)
	}
	proof, err = hashes(consistency.Proof)
	if err != nil {
		return err
	}
	from, err := tlog.ParseHash(consistency.FromRoot)
	if err != nil {
		return err
	}
	if consistency.To != tree.N {
		return fmt.Errorf("the proof is of another tree: %v", consistency)
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, consistency.From, from)
}

func run(path, inclusion, consistency string) error {
	f := folder(path)
	tree, err := f.checkpoint()
	if err != nil {
		return err
	}
	// Whatever it reads it compares with the root.
	reader := tlog.TileHashReader(tree, f)
	var leaves []tlog.Hash
	var places []int64
	err = f.records(tree.N, func(at int64, record []byte) error {
		leaves = append(leaves, tlog.RecordHash(record))
		places = append(places, tlog.StoredHashIndex(0, at))
		return nil
	})
	if err != nil {
		return err
	}
	kept, err := reader.ReadHashes(places)
	if err != nil {
		return err
	}
	for at, leaf := range leaves {
		if kept[at] != leaf {
			return fmt.Errorf("record %d does not have the hash of the tile", at+1)
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the tiles do not have the root that was signed")
	}
	if err := checkProofs(tree, leaves, inclusion, consistency); err != nil {
		return err
	}
	fmt.Printf("%d records hold\n", tree.N)
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: reader FOLDER INCLUSION CONSISTENCY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
