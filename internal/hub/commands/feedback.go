package commands

import (
	"sluice/internal/hub/notices"
	"sluice/internal/hub/storage"
)

// feedback is the records that wait for an application.
type feedback = notices.Queue[storage.FeedbackRecord]

// feedbackKey is the kind of their keys.
const feedbackKey = 'b'

// Feedback is what senders asked to be told.
func (s *Store) Feedback() storage.Notices[storage.FeedbackRecord] { return s.feedback }
