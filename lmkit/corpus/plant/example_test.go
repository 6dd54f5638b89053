package plant_test

import (
	"fmt"
	"log"

	"lmkit.internal/lmkit/corpus/plant"
)

// Make texts in which one of two words decides the label, and say which word it is in each of them.
func Example() {
	task, err := plant.New(plant.Config{Task: "marker", Size: 5})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 2 {
		item := task.Item(1, plant.Train, i)
		fmt.Printf("%q -> %s, not %s, because of %s\n", item.Text, item.Label, item.Foil, item.Tokens[item.Cause[0]])
	}
	// Output:
	// "cloud pocket river mirror ruby =>" -> yes, not no, because of ruby
	// "ladder jade ladder table silver =>" -> no, not yes, because of jade
}

// Each task has a cause of its own kind.
func ExampleTasks() {
	fmt.Println(plant.Tasks())
	// Output: [marker pair recall agreement shortcut]
}
