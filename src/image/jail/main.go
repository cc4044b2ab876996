// The jail of image tools: unpacks what strangers packed, without the host's root. As root it only builds the place;
// the tool itself runs as nobody of the host, in a user namespace that sees this one place.
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image-jail: "+err.Error())
		os.Exit(125)
	}
}

func dispatch(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: image-jail run|inner|idmap …")
	}
	switch args[0] {
	case "run":
		return run(args[1:])
	case "inner":
		return inner(args[1:])
	case "finish":
		if len(args) != 2 {
			return fmt.Errorf("usage: image-jail finish FOLDER")
		}
		return finish(args[1])
	case "idmap":
		if len(args) != 4 {
			return fmt.Errorf("usage: image-jail idmap SOURCE TARGET FIRST-ID")
		}
		first, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return idmap(args[1], args[2], first)
	}
	return fmt.Errorf("unknown verb %q", args[0])
}
