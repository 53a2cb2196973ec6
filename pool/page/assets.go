package page

import "embed"

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// pageFile is the page itself.
const pageFile = "page.html"

// An asset is a file that does not change.
type asset struct {
	mediaType string
	content   []byte
}

var assets = map[string]asset{
	pageFile:   load(pageFile, "text/html; charset=utf-8"),
	"page.css": load("page.css", "text/css; charset=utf-8"),
	"page.js":  load("page.js", "text/javascript; charset=utf-8"),
	"icon.svg": load("icon.svg", "image/svg+xml"),
}

func load(name, mediaType string) asset {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // the file is missing in the program
	}
	return asset{mediaType, content}
}
