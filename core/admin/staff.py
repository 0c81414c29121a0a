"""Staff, their groups, and invitations."""

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.mail import has_mail_server
from core.staff import invitations

from . import audit_log
from .display_names import DisplayNameAdmin
from .permissions import staff_user
from .protected_deletion import ProtectedDeletionAdmin

apps.get_app_config("auth").verbose_name = "Administration"

for model in (User, Group):
    admin.site.unregister(model)


class InvitationForm(forms.ModelForm):
    """A new colleague with a role. They choose their password themselves."""

    role = forms.ModelChoiceField(
        Group.objects.order_by("name"),
        empty_label="Choose one",
        widget=UnfoldAdminSelectWidget,
        help_text="What they can do. You can change it later.",
    )
    inviter: User

    class Meta:
        model = User
        fields = ("username", "email", "first_name", "last_name")
        labels = {"username": "User name"}
        help_texts = {
            "username": "What they log in with.",
            "email": "The invitation is sent here. If you leave it empty, you get the link and pass it on yourself.",
        }
        widgets = {
            "username": UnfoldAdminTextInputWidget,
            "email": UnfoldAdminEmailInputWidget,
            "first_name": UnfoldAdminTextInputWidget,
            "last_name": UnfoldAdminTextInputWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        roles = [group.pk for group in invitations.assignable_roles(self.inviter)]
        self.fields["role"].queryset = Group.objects.filter(pk__in=roles).order_by("name")  # type: ignore[attr-defined]


@admin.register(User)
class UserAdmin(DisplayNameAdmin, BaseUserAdmin):
    """Staff. Only superusers create and change superusers: otherwise everybody who manages staff could become one.

    People with entries in the audit log are not deleted but made inactive.
    """

    display_names = ("member of staff", "staff")
    form = UserChangeForm
    add_form = InvitationForm
    add_form_template = None
    add_fieldsets = ((None, {"fields": ("username", "email", "first_name", "last_name", "role")}),)
    change_password_form = AdminPasswordChangeForm
    actions = ("send_link",)
    list_display = ("username", "email", "first_name", "last_name", "roles", "is_active")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        found: QuerySet[User] = super().get_queryset(request)
        return found.prefetch_related("groups")

    @display(description="Role")
    def roles(self, user: User) -> str:
        groups = sorted(group.name for group in user.groups.all())
        return ", ".join(["Superuser", *groups] if user.is_superuser else groups)

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[str] | tuple[Any, ...]:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete people with entries in the audit log, which would be deleted, too."""
        doomed = list(objs)
        reasons = [
            format_html(
                '{} has entries in <a class="link" href="{}?by={}">Activity</a>.'
                ' Make <a class="link" href="{}">the account</a> inactive instead.',
                one.get_username(),
                reverse("admin:admin_logentry_changelist"),
                one.pk,
                reverse("admin:auth_user_change", args=[one.pk]),
            )
            for one in User.objects.filter(
                pk__in=[one.pk for one in doomed], logentry__isnull=False
            ).distinct()
        ]
        if reasons:
            return [str(one) for one in doomed], {}, set(), reasons
        return super().get_deleted_objects(objs, request)

    # -- Invitations

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any):
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None:
            setattr(form, "inviter", staff_user(request))  # noqa: B010 — the form class belongs to this request
        return form

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save a new colleague without a password. They choose it with the invitation."""
        if not change:
            obj.is_staff = True
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            form.instance.groups.set([form.cleaned_data["role"]])

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        if add:
            return f"Invited as {form.cleaned_data['role']}."
        return super().construct_change_message(request, form, formsets, add)

    def response_add(
        self, request: HttpRequest, obj: User, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Send the invitation, or show its link in this response: it is not stored."""
        return self._send_or_show(request, [obj], "Invitation") or redirect("admin:auth_user_change", obj.pk)

    @admin.action(description="Send a link to choose a password", permissions=["change"])
    def send_link(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Send a link to new colleagues, or to those who forgot their password."""
        chosen = [one for one in queryset if _may_change(request, one) and one.is_active and one.is_staff]
        if not chosen:
            messages.warning(request, "Links can be sent only to active staff whom you may change.")
            return None
        audit_log.log_changes(request, chosen, "Created a link to choose a password.")
        return self._send_or_show(request, chosen, "Links to choose a password")

    def _send_or_show(self, request: HttpRequest, people: list[User], title: str) -> HttpResponse | None:
        shown = []
        for person in people:
            link = invitations.password_link(person, request)
            if invitations.send_password_link(person, link, staff_user(request)):
                messages.success(request, f"A link to choose a password was sent to {person.email}.")
            else:
                shown.append((person, link))
        if not shown:
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "links": shown,
            "link_lifetime": invitations.LINK_LIFETIME,
            "has_server": has_mail_server(),
        }
        response = TemplateResponse(request, "core/admin/invitation.html", context)
        add_never_cache_headers(response)
        return response


def _may_change(request: HttpRequest, user: User | None) -> bool:
    return request.user.is_superuser or not (user and user.is_superuser)


@admin.register(Group)
class GroupAdmin(DisplayNameAdmin, ProtectedDeletionAdmin, BaseGroupAdmin):  # type: ignore[misc]
    """Groups. A group with members is not deleted: its members would lose their permissions."""

    display_names = ("role", "roles")
    used_by = ("user",)
