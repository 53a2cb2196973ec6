package browser_test

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sqlitemw/sqlitemw/pool"
)

var writePicture = flag.Bool("picture", false, "write page.png")

// TestPicture takes pictures of the page in light and dark, and checks that they are not blank.
// The one in page.png is for README.
func TestPicture(t *testing.T) {
	b := openTab(t)
	users, err := pool.Open(t.Context(), pool.Config{Path: ":memory:", Name: "sessions", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	b.open(serve(b, play(t).pool, users).URL + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3 && " + rows("statements") + ".length === 3")
	b.run(chromedp.EmulateViewport(1280, 990), chromedp.SetValue(chromedp.CSS("#interval"), "1"))
	eval[bool](b, "document.getElementById('interval').dispatchEvent(new Event('change'))")
	time.Sleep(5 * time.Second) // the charts have some points
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(scheme)
		time.Sleep(400 * time.Millisecond)
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		checkPicture(t, scheme, picture)
		if *writePicture && scheme == "light" {
			if err := os.WriteFile("page.png", picture, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept, err := os.ReadFile("page.png")
	if err != nil {
		t.Fatal(err)
	}
	checkPicture(t, "page.png", kept)
}

// checkPicture checks that a picture is not blank: no colour fills it, and each half has several.
func checkPicture(t *testing.T, name string, content []byte) {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	size := picture.Bounds()
	half := size.Min.Y + size.Dy()/2
	for part, area := range map[string]image.Rectangle{
		"upper half": image.Rect(size.Min.X, size.Min.Y, size.Max.X, half),
		"lower half": image.Rect(size.Min.X, half, size.Max.X, size.Max.Y),
	} {
		pixels, most := map[color.Color]int{}, 0
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				c := picture.At(x, y)
				pixels[c]++
				most = max(most, pixels[c])
			}
		}
		if all := area.Dx() * area.Dy(); all == 0 || len(pixels) < 20 || float64(most) > 0.98*float64(all) {
			t.Errorf("%s: the %s is blank: %d colours, %d of %d pixels have the same", name, part, len(pixels), most, all)
		}
	}
}
