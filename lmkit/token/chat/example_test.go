package chat_test

import (
	"fmt"
	"log"

	"lmkit.internal/lmkit/token/chat"
)

func ExampleTemplate_Render() {
	t, err := chat.New("{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"+
		"{% if add_generation_prompt %}<|assistant|>{% endif %}", chat.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	r, err := t.Render([]chat.Message{{Role: "user", Content: " Why? "}}, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Text)
	for _, p := range r.Parts {
		fmt.Println(p.Role, r.Text[p.Span.Start:p.Span.End])
	}
	// Output:
	// <|user|>Why?<|end|><|assistant|>
	// user Why?
}
